import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { resolve } from "node:path/posix";
import process from "node:process";
import { describe, test } from "node:test";
import { bundleSize } from "../../scripts/build/bundle_size.ts";
import { doorsOf, packageFolder, readManifest } from "./_consumer.ts";

const config = JSON.parse(await readFile(new URL("../../deno.json", import.meta.url), "utf8"));

async function filesEndingWith(ending: string): Promise<string[]> {
  const files = (await readdir(packageFolder, { recursive: true })).map((file) => file.replaceAll("\\", "/"));
  return files.filter((file) => file.endsWith(ending));
}

describe("the npm package, contents", () => {
  test("has the name, version, licence and doors of deno.json, and no dependencies", async () => {
    const manifest = await readManifest();
    const { name, version, license, dependencies } = manifest;
    assert.deepEqual({ name, version, license }, {
      name: config.name,
      version: config.version,
      license: config.license,
    });
    assert.equal(dependencies, undefined);
    assert.deepEqual(doorsOf(manifest), Object.keys(config.exports).map((door) => name + door.slice(1)));
    assert.match(await readFile(join(packageFolder, "LICENSE"), "utf8"), /MIT/);
  });

  test(
    "imports itself by paths that are there, and nothing but Node's own modules otherwise",
    async () => {
      const compiled = [...await filesEndingWith(".js"), ...await filesEndingWith(".d.ts")];
      assert.notEqual(compiled.length, 0);
      const there = new Set(compiled);
      for (const file of compiled) {
        // Without comments, where examples import as well.
        const text = (await readFile(join(packageFolder, file), "utf8")).replace(
          /^\s*(\/\*\*|\*|\/\/).*$/gm,
          "",
        );
        for (const [, specifier] of text.matchAll(/(?:\bfrom |\bimport\(|^import )"([^"]+)"/gm)) {
          if (specifier!.startsWith("node:")) continue;
          const target = resolve("/", file, "..", specifier!).slice(1);
          assert.ok(there.has(target), `${file} imports ${specifier}`);
        }
      }
    },
  );

  test("needs nothing that Node 20 lacks to lower `using`", async () => {
    for (const file of await filesEndingWith(".js")) {
      const text = await readFile(join(packageFolder, file), "utf8");
      assert.doesNotMatch(text, /^\s*(await )?using \w+ =/m, file);
    }
  });

  const npm = spawnSync("npm", ["--version"], { shell: process.platform === "win32" }).status === 0;
  test("can be packed by npm", { skip: npm ? false : "npm is not installed" }, async () => {
    const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
    const options = { cwd: packageFolder, encoding: "utf8", shell: process.platform === "win32" } as const;
    const { stdout, stderr, status } = spawnSync("npm", args, options);
    assert.equal(status, 0, stderr);
    const [packed] = JSON.parse(stdout);
    assert.equal(packed.id, `${config.name}@${config.version}`);
    const files = new Set(packed.files.map(({ path }: { path: string }) => path));
    for (const file of await filesEndingWith(".js")) assert.ok(files.has(file), `${file} is left out`);
  });
});

describe("the npm package, bundled", () => {
  const size = (names: string, door: string) =>
    bundleSize(packageFolder, `export { ${names} } from "@uno/async${door}";`);

  test("takes the same from the front door as from the door of the floor", async () => {
    const [front, floor] = [await size("AsyncLock", ""), await size("AsyncLock", "/sync")];
    assert.equal(front.minified, floor.minified);
  });

  test("takes little more for a second primitive of the floor", async () => {
    const [one, both] = [await size("AsyncLock", "/sync"), await size("AsyncLock, AsyncSemaphore", "/sync")];
    assert.ok(both.gzipped - one.gzipped < 1_000, `${one.gzipped} B and ${both.gzipped} B`);
  });

  test("leaves out what is not imported", async () => {
    const [some, all] = [
      await size("sleep", ""),
      await bundleSize(packageFolder, 'export * from "@uno/async"'),
    ];
    assert.ok(some.modules * 4 < all.modules, `${some.modules} of ${all.modules} modules`);
    assert.ok(some.gzipped * 6 < all.gzipped, `${some.gzipped} B of ${all.gzipped} B`);
  });
});
