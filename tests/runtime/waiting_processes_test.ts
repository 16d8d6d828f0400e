import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const fixture = fileURLToPath(new URL("./_fixtures/waiting_process.ts", import.meta.url));
const flags = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];

/** Runs the fixture on the same runtime. */
function run(what: string): Promise<{ code: number | null; output: string; tookMs: number }> {
  return new Promise((resolve, reject) => {
    const from = performance.now();
    const child = spawn(process.execPath, [...flags, fixture, what], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => output += chunk);
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output: output.trim(), tookMs: performance.now() - from }));
  });
}

describe("a process", () => {
  for (const what of ["sleep", "timeout", "acquire"]) {
    test(`stays until a pending ${what} is over, when nothing else is alive (TO-06)`, async () => {
      const { code, output, tookMs } = await run(what);
      assert.deepEqual({ code, output }, { code: 0, output: "over" });
      assert.ok(tookMs >= 200);
    });
  }

  test("is not held by the deadline of a scope (TO-06)", async () => {
    const { code, output, tookMs } = await run("scope");
    assert.deepEqual({ code, output }, { code: 0, output: "" });
    assert.ok(tookMs < 30_000);
  });

  test("is not held by a lock that nobody waits for, nor by a limit that was not reached (TO-06)", async () => {
    const { code, output, tookMs } = await run("idle");
    assert.deepEqual({ code, output }, { code: 0, output: "over" });
    assert.ok(tookMs < 30_000);
  });
});
