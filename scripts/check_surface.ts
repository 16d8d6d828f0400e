/** Compares the public surface with the committed one. @module */
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { root } from "./checks/sources.ts";
import { compareSurfaces, exportsOf, readSurface, type Surface, writeSurface } from "./checks/surface.ts";
import { runCommand, UsageError } from "./lib/command.ts";
import { runtimePath } from "./runtimes.ts";

const help = `Compares the names that the front doors of deno.json export with tests/surface/public_api.txt.

usage: deno task surface [--update]

  --update  write the file anew, when the change is intended`;

const snapshot = new URL("tests/surface/public_api.txt", root);

await runCommand(help, { update: { type: "boolean" } }, async ({ flags }) => {
  const now = await currentSurface();
  const before = readSurface(await readFile(snapshot, "utf8").catch(() => ""));
  const changes = compareSurfaces(before, now);
  for (const change of changes) (flags.update ? console.log : console.error)(change);
  const count = [...now.values()].flat().length;
  if (flags.update) await writeFile(snapshot, writeSurface(now));
  else if (changes.length > 0) {
    console.error('If this is intended, run "deno task surface --update" and commit the file');
  }
  console.log(
    `surface: ${now.size} doors, ${count} exports, ${changes.length} changes${
      flags.update ? ", written" : ""
    }`,
  );
  return changes.length === 0 || flags.update ? 0 : 1;
});

async function currentSurface(): Promise<Surface> {
  const { name, exports } = JSON.parse(await readFile(new URL("deno.json", root), "utf8"));
  const surface = new Map<string, string[]>();
  for (const [door, file] of Object.entries<string>(exports)) {
    const { status, stdout, stderr } = spawnSync(runtimePath("deno"), ["doc", "--json", file], {
      cwd: fileURLToPath(root),
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
      maxBuffer: 2 ** 28,
    });
    if (status !== 0) {
      const error = stderr.split("\n").find((line) => line.startsWith("error:")) ?? stderr.trim();
      throw new UsageError(`Cannot read the exports of ${file}: ${error.replace("error: ", "")}`);
    }
    surface.set(name + door.slice(1), exportsOf(JSON.parse(stdout)));
  }
  return surface;
}
