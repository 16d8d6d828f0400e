import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { doorsOf, readManifest, withConsumer } from "./_consumer.ts";

const deno = "Deno" in globalThis ? ["run", "-A"] : [];
const doors = await readManifest().then(doorsOf, () => []);

/** Runs the program of the consumer; what it printed, by door. */
const outcomes: Promise<Map<string, string | undefined>> = withConsumer(async (folder) => {
  const program = join(folder, "smoke.mjs");
  await cp(fileURLToPath(new URL("_fixtures/smoke.mjs", import.meta.url)), program);
  const { stdout, stderr, status } = spawnSync(process.execPath, [...deno, program, ...doors], {
    cwd: folder,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  const lines: { door: string; error?: string }[] = stdout.trim().split("\n").map((line) => JSON.parse(line));
  return new Map(lines.map(({ door, error }) => [door, error]));
});
// Each test tells the reason.
outcomes.catch(() => {});

/** What some runtimes lack, and how the door behind which it is needed says so when it is used. */
const lacking = new Map<string, { module: string; told: RegExp }>([
  ["@uno/async/database/sqlite", { module: "node:sqlite", told: /^ConnectFailedError: .*node:sqlite/ }],
]);

describe("the npm package", () => {
  test("is built, and has doors", async () => {
    assert.notEqual(doorsOf(await readManifest()).length, 0);
  });

  for (const door of doors) {
    test(`opens ${door}`, async () => {
      const error = (await outcomes).get(door);
      assert.ok((await outcomes).has(door));
      const lack = lacking.get(door);
      if (lack !== undefined && !await has(lack.module)) assert.match(error ?? "", lack.told);
      else assert.equal(error, undefined);
    });
  }
});

function has(module: string): Promise<boolean> {
  return import(module).then(() => true, () => false);
}
