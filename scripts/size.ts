/** Tells what importing parts of the npm package adds to a bundle. @module */
import { bundleSize } from "./build/bundle_size.ts";
import { readConfig } from "./build/npm_package.ts";
import { buildNpm, packageFolder } from "./build_npm.ts";
import { runCommand } from "./lib/command.ts";

const help = `Builds the npm package and prints what importing parts of it adds to a bundle.

usage: deno task size [name ...]

Without names: one primitive of each floor, two together, the floors together, and each door. A name is an export of
"@uno/async", and all that are given are measured together.`;

/** What is measured without names: names, and the door they come from. */
const parts: readonly [string, string][] = [
  ["sleep", "cancel"],
  ["timeout", "cancel"],
  ["AsyncLock", "sync"],
  ["AsyncSemaphore", "sync"],
  ["AsyncEvent", "sync"],
  ["Channel", "sync"],
  ["AsyncLock, AsyncSemaphore", "sync"],
  ["AsyncLock, Channel", "sync"],
  ["TaskGroup", "task"],
  ["runTasks", "task"],
  ["Limiter", "flow"],
  ["retry", "flow"],
  ["AsyncBatcher", "flow"],
  ["AsyncExitStack", "resource"],
  ["AsyncResource", "resource"],
];

await runCommand(help, {}, async ({ operands }) => {
  await buildNpm();
  const rows = [["imported", "gzip", "minified", "modules"]];
  const measure = async (title: string, source: string): Promise<void> => {
    const { gzipped, minified, modules } = await bundleSize(packageFolder, source);
    rows.push([
      title,
      `${(gzipped / 1000).toFixed(2)} kB`,
      `${(minified / 1000).toFixed(1)} kB`,
      `${modules}`,
    ]);
  };
  const { name, exports: doors } = await readConfig();
  if (operands.length > 0) {
    await measure(operands.join(", "), `export { ${operands.join(", ")} } from "${name}";`);
  } else {
    for (const [names, door] of parts) await measure(names, `export { ${names} } from "${name}/${door}";`);
    const floors = ["cancel", "sync", "task", "flow", "resource"];
    await measure("floors 0 to 5", floors.map((door) => `export * from "${name}/${door}";`).join("\n"));
    for (const door of Object.keys(doors)) {
      await measure(name + door.slice(1), `export * from "${name}${door.slice(1)}";`);
    }
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    console.log(
      row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join(
        "  ",
      ),
    );
  }
  return 0;
});
