// A project in TypeScript that uses the package: compiled, never run, by types_test.ts.
import { AsyncLock, type Lease, type Observer, TaskGroup } from "@uno/async";
import { runApplication, type StopReport } from "@uno/async/app";
import { sleep, timeout } from "@uno/async/cancel";
import { Database, type QueryResult } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { Limiter, retry } from "@uno/async/flow";
import { AsyncExitStack } from "@uno/async/resource";
import { Channel } from "@uno/async/sync";
import { runTasks } from "@uno/async/task";
import { world } from "@uno/async/testing";

export async function use(observer: Observer, signal: AbortSignal): Promise<unknown> {
  const lock = new AsyncLock({ name: "door" });
  await using _stack = new AsyncExitStack();
  using _lease: Lease = await lock.acquire({ signal });
  const [one, two]: [number, string] = await runTasks([
    () => Promise.resolve(1),
    () => Promise.resolve("two"),
  ]);
  const sum: number = await TaskGroup.run(async (group) => await group.spawn(() => one + two.length));
  const channel = new Channel<Uint8Array>({ capacity: 1 });
  for await (const bytes of channel) await timeout(5, () => sleep(bytes.length));
  const limiter = new Limiter({ limit: 2 });
  const again: string = await retry(() => limiter.run(() => Promise.resolve("done")), { attempts: 2 });
  await using db = new Database(sqliteDriver({ file: ":memory:" }));
  const { rows }: QueryResult<{ n: number }> = await db.transaction((tx) =>
    tx.query<{ n: number }>("select 1 as n")
  );
  const report: StopReport = await runApplication(async (app) => await app.start());
  await world((w) => w.advance(1));
  // @ts-expect-error A limit is a number: declarations that lost their types would let this pass.
  void new Limiter({ limit: "two" });
  return [observer, sum, again, rows[0]?.n, report.code];
}

/** Options that may be undefined are passed on as they are, also where properties are taken exactly. */
export async function passOn(signal?: AbortSignal, name?: string, timeoutMs?: number): Promise<void> {
  const lock = new AsyncLock({ name });
  using _lease = await lock.acquire({ signal, timeoutMs });
  await sleep(1, { signal });
  await timeout(5, () => Promise.resolve(), { signal, operation: name });
  const channel = new Channel<number>({ name, capacity: 1 });
  await channel.send(1, { signal, timeoutMs });
  const limiter = new Limiter({ limit: 2, name });
  await limiter.map([1], (n) => Promise.resolve(n), { signal });
  await retry(() => Promise.resolve(), { signal, name });
  await runTasks([], { signal, timeoutMs, name });
  await using db = new Database(sqliteDriver({ file: ":memory:" }), { name });
  await db.transaction((tx) => tx.query("select 1"), { signal, timeoutMs });
  await using _tx = await db.begin({ signal, timeoutMs });
  await runApplication((app) => app.start(), { signal, name });
}
