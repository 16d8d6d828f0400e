import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkLayers } from "../../scripts/checks/layers.ts";
import { describeFinding, readSources } from "../../scripts/checks/sources.ts";

/** The findings in some sources, as `file:line: message`. */
function find(files: Record<string, string>): string[] {
  return checkLayers(new Map(Object.entries(files))).map(describeFinding);
}

/** Asserts that `text` in `file` is found at fault, in its first line, for a reason that matches. */
function faulty(file: string, text: string, reason: RegExp): void {
  const found = find({ [file]: text });
  assert.equal(found.length, 1, `${file}: ${text}\n${found.join("\n")}`);
  assert.match(found[0]!, reason);
  assert.ok(found[0]!.startsWith(`${file}:1: `), found[0]!);
}

/** Asserts that nothing is found at fault. */
function fine(file: string, text: string): void {
  assert.deepEqual(find({ [file]: text }), []);
}

describe("checkLayers", () => {
  test("finds nothing in the sources of the library", async () => {
    assert.deepEqual(checkLayers(await readSources()).map(describeFinding), []);
  });

  test("lets a floor import those below it and none above", () => {
    fine("src/task/task.ts", 'import { a } from "../sync/async_lock.ts";');
    fine("src/resource/pool.ts", 'import { a } from "../flow/limiter.ts";');
    faulty("src/sync/async_lock.ts", 'import { a } from "../task/task.ts";', /sync may not import task/);
    faulty("src/kernel/clock.ts", 'import { a } from "../cancel/sleep.ts";', /kernel may not import cancel/);
    faulty("src/flow/limiter.ts", 'import { a } from "../app/host.ts";', /flow may not import app/);
  });

  test("counts types, dynamic imports, import types and re-exports as imports", () => {
    faulty("src/sync/a.ts", 'import type { A } from "../task/task.ts";', /sync may not import task/);
    faulty("src/sync/a.ts", 'const a = () => import("../task/task.ts");', /sync may not import task/);
    faulty("src/sync/a.ts", 'let a: import("../task/task.ts").A;', /sync may not import task/);
    faulty("src/sync/a.ts", 'export { a } from "../task/task.ts";', /sync may not import task/);
  });

  test("keeps wings apart, save that decorate knows app and database", () => {
    fine("src/database/transaction.ts", 'import { a } from "../resource/exit_stack.ts";');
    fine("src/decorate/transactional.ts", 'import { a } from "../database/transaction.ts";');
    faulty("src/database/a.ts", 'import { a } from "../app/host.ts";', /database may not import app/);
    faulty("src/decorate/a.ts", 'import { a } from "../http/server.ts";', /decorate may not import http/);
  });

  test("ties an adapter to its port, the kernel, its folder's private files and the outside world", () => {
    const adapter = "src/database/adapters/pg.ts";
    fine(adapter, 'import type { Driver } from "../driver.ts"; import { a } from "../../kernel/errors.ts";');
    fine(adapter, 'import { a } from "./_shared.ts"; import { connect } from "node:net"; process.exit();');
    fine(adapter, "const load = (name: string) => import(name);");
    faulty(
      adapter,
      'import { a } from "../transaction.ts";',
      /an adapter may import the kernel and its port/,
    );
    faulty(adapter, 'import { a } from "../../sync/async_lock.ts";', /an adapter may import the kernel/);
    faulty(adapter, 'import { a } from "./mysql2.ts";', /may not import another adapter/);
    faulty("src/database/a.ts", 'import { a } from "./adapters/pg.ts";', /may not import the adapter/);
  });

  test("knows the two exceptions by name", () => {
    fine("src/app/run_application.ts", 'import { detect } from "./adapters/detect.ts";');
    fine("src/app/adapters/detect.ts", 'const host = () => import("./node.ts");');
    faulty(
      "src/app/adapters/detect.ts",
      'import { host } from "./node.ts";',
      /must load its sibling .* dynamically/,
    );
    faulty(
      "src/app/async_manager.ts",
      'import { detect } from "./adapters/detect.ts";',
      /may not import the adapter/,
    );
  });

  test("lets testing import all but adapters, and nothing import testing", () => {
    fine(
      "src/testing/world.ts",
      'import { a } from "../app/host.ts"; import "node:assert"; setTimeout(() => {});',
    );
    faulty(
      "src/testing/world.ts",
      'import { a } from "../app/adapters/node.ts";',
      /testing may not import the adapter/,
    );
    faulty("src/task/task.ts", 'import { a } from "../testing/world.ts";', /nothing in src imports testing/);
  });

  test("keeps files whose names begin with an underscore in their folder", () => {
    fine("src/sync/async_lock.ts", 'import { a } from "./_permits.ts";');
    faulty("src/task/task.ts", 'import { a } from "../sync/_permits.ts";', /private to its folder/);
    faulty("src/testing/a.ts", 'import { a } from "../sync/_permits.ts";', /private to its folder/);
  });

  test("keeps front doors to re-exports of their folder and, by name, of the kernel", () => {
    fine("src/sync/mod.ts", 'export { a } from "./a.ts"; export type { Lease } from "../kernel/types.ts";');
    fine("mod.ts", 'export * from "./src/sync/mod.ts"; export { leaves } from "./src/kernel/errors.ts";');
    faulty("src/sync/mod.ts", "export const a = 1;", /no code/);
    faulty("src/sync/mod.ts", 'export * from "../kernel/types.ts";', /by name only/);
    faulty("src/sync/mod.ts", 'export { a } from "../cancel/sleep.ts";', /shows its own folder/);
    faulty("mod.ts", 'export { a } from "./src/app/mod.ts";', /shows the floors only/);
    faulty("src/task/task.ts", 'import { a } from "../sync/mod.ts";', /front door is for users/);
  });

  test("finds packages and computed paths outside of adapters", () => {
    faulty("src/sync/a.ts", 'import { test } from "node:test";', /only an adapter may import "node:test"/);
    faulty("src/sync/a.ts", 'import fc from "fast-check";', /only an adapter may import "fast-check"/);
    faulty("src/sync/a.ts", "const a = (b: string) => import(b);", /computed path/);
    faulty("src/sync/a.ts", 'import { a } from "../../scripts/a.ts";', /outside of src/);
  });

  test("finds runtimes' globals, even as types and behind globalThis", () => {
    faulty("src/app/a.ts", "Deno.exit();", /only an adapter may use "Deno"/);
    faulty("src/app/a.ts", "const p = () => globalThis.process;", /only an adapter may use "process"/);
    faulty("src/app/a.ts", 'const p = () => globalThis["Bun"];', /only an adapter may use "Bun"/);
    faulty("src/app/a.ts", "let a: Deno.Addr;", /only an adapter may use "Deno"/);
    faulty("src/app/a.ts", "const a = { process };", /only an adapter may use "process"/);
  });

  test("finds sources of time outside of the clock, and reads at import inside of it", () => {
    const ours = "src/kernel/clock.ts";
    fine(ours, "export const now = () => performance.now();");
    faulty(ours, "export const start = performance.now();", /may not be read at import/);
    faulty("src/sync/a.ts", "setTimeout(() => {}, 1);", /only src\/kernel\/clock.ts may use "setTimeout"/);
    faulty("src/sync/a.ts", "const a = () => new Date();", /may use "Date"/);
    faulty("src/sync/a.ts", "const a = () => globalThis.performance.now();", /may use "performance"/);
    fine("src/http/a.ts", "export function a(at: Date): number { return at.getTime(); }");
  });

  test("finds what the library has its own of", () => {
    faulty("src/sync/a.ts", "const a = () => AbortSignal.timeout(5);", /AbortSignal.timeout.* use timeout/);
    faulty("src/sync/a.ts", "const a = () => AbortSignal.any([]);", /AbortSignal.any.* use linkSignals/);
    faulty("src/kernel/a.ts", "const a = () => Promise.race([]);", /Promise.race/);
  });

  test("tells a global from a member, a parameter and a variable of that name", () => {
    fine(
      "src/sync/a.ts",
      "export function run(process: () => void, o: { Date: 1 }): void { process(); o.Date; }",
    );
    fine("src/sync/a.ts", "export class A { process(): void { this.process(); } }");
    fine("src/sync/a.ts", "export const a = ({ process }: { process: number }): number => process;");
    faulty(
      "src/sync/a.ts",
      "function a(process: number): number { return process; } process.exit(a(1));",
      /"process"/,
    );
  });

  test("finds a circle of imports once", () => {
    const found = find({
      "src/sync/a.ts": 'import { b } from "./b.ts";',
      "src/sync/b.ts": '\nimport { c } from "./c.ts";',
      "src/sync/c.ts": 'import type { a } from "./a.ts";',
    });
    assert.deepEqual(found, [
      "src/sync/c.ts:1: imports in a circle: src/sync/a.ts -> src/sync/b.ts -> src/sync/c.ts -> src/sync/a.ts",
    ]);
  });

  test("finds a room that the table does not name", () => {
    faulty("src/utils/a.ts", "export {};", /unknown room "utils"/);
  });
});
