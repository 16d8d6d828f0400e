/** A server that goes away, a network that is cut or silent: everything ends in time, and nothing is lost or left behind. */
import assert from "node:assert/strict";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { it } from "node:test";
import {
  CommitOutcomeUnknownError,
  ConnectFailedError,
  ConnectionLostError,
  Database,
} from "@uno/async/database";
import { ClosedError } from "@uno/async";
import { sleep } from "@uno/async/cancel";
import { observe } from "../../src/kernel/observer.ts";
import { unhandledDuring } from "../_unhandled.ts";
import { placeholder, subjects } from "./_servers/subjects.ts";
import { pause, until, withTable } from "./_servers/with_table.ts";
import { suite } from "../_suite.ts";

/** Compiled it is the same code again: what takes long is then left out. */
const isSource = import.meta.url.endsWith(".ts");

for (const subject of subjects) {
  const { name, skip } = subject;
  const isPostgres = subject.dialect === "postgres";
  const SLEEP = isPostgres ? "select pg_sleep(20)" : "select sleep(20)";

  suite(`faults on the way to a server through ${name}`, skip, () => {
    // DB-18
    it("cut between a failure and ROLLBACK: the failure is thrown, the session destroyed, its place free", () =>
      withTable(subject, { max: 1, rollbackTimeoutMs: 300 }, async ({ db, proxy, insert, ids, open }) => {
        for (const how of ["cut", "silent"] as const) {
          const failure = new Error("mine");
          const records: string[] = [];
          const startedMs = performance.now();
          {
            using _observing = observe({ record: ({ kind }) => void records.push(kind) });
            await assert.rejects(
              db.transaction(async (tx) => {
                await insert(tx, "a");
                if (how === "cut") proxy.cut();
                else proxy.frozen = true;
                throw failure;
              }),
              (error) => error === failure,
            );
          }
          assert.ok(performance.now() - startedMs < 3_000);
          if (how === "silent") assert.ok(records.includes("session.destroyed"), records.join());
          proxy.frozen = false;
          assert.equal((await db.query("select 1 as one")).rowCount, 1);
          proxy.cut();
          assert.equal(await open(), 0);
          assert.deepEqual([await ids(), db.statistics().inUse], [[], 0]);
        }
      }));

    it("cut while no statement runs: tx.signal ends other work, and the transaction runs again where that is asked for", () =>
      withTable(subject, { max: 1 }, async ({ db, proxy, insert, ids, open }) => {
        for (const retry of [undefined, { lostConnection: true }]) {
          const attempts: unknown[] = [];
          const running = db.transaction(async (tx) => {
            await insert(tx, `${tx.attempt}`);
            attempts.push(tx.attempt);
            if (tx.attempt > 1) return;
            setTimeout(() => proxy.cut(), 10);
            await sleep(60_000, { signal: tx.signal });
          }, { retry });
          if (retry !== undefined) await running;
          else await assert.rejects(running, ConnectionLostError);
          assert.equal(attempts.length, retry === undefined ? 1 : 2);
        }
        assert.deepEqual([await ids(), await open()], [["2"], 0]);
      }));

    // DB-20
    it("a silent network: limits hold, and closing ends in time and names who held on", () =>
      withTable(subject, { max: 3, cancelGraceMs: 200 }, async ({ db, proxy }) => {
        await using idle = await db.session();
        await idle.query("select 1 as one");
        const holding = db.session({ label: "straggler" });
        await (await holding).query("select 1 as one");
        await idle[Symbol.asyncDispose]();
        const startedMs = performance.now();
        const slow = db.transaction(async (tx) => {
          await tx.query("select 1 as one");
          proxy.frozen = true;
          await tx.query(SLEEP);
        }, { timeoutMs: 300 });
        await assert.rejects(slow, { name: "TimeoutError" });
        assert.ok(performance.now() - startedMs < 4_500, `${performance.now() - startedMs} ms`);
        const running = assert.rejects((await holding).query(SLEEP), ClosedError);
        const closingMs = performance.now();
        const { stragglers } = await db.close({ graceMs: 500 });
        assert.ok(performance.now() - closingMs < 4_000, `${performance.now() - closingMs} ms`);
        assert.deepEqual(stragglers, ["straggler"]);
        await running;
        await (await holding)[Symbol.asyncDispose]();
        assert.deepEqual([db.statistics().open, db.statistics().inUse], [0, 0]);
      }));

    // DB-02, in the moment of the hand-over
    it("aborted in the moment a session is handed over: nothing is lost", () =>
      withTable(subject, { max: 1 }, async ({ db, insert, ids, open }) => {
        const acknowledged: string[] = [];
        const unhandled = await unhandledDuring(async () => {
          for (let microtasks = 0; microtasks < 24; microtasks++) {
            const holder = await db.session();
            const controller = new AbortController();
            const id = `row ${microtasks}`;
            const waiting = db.transaction((tx) => insert(tx, id), { signal: controller.signal });
            const outcome = waiting.then(
              () => acknowledged.push(id),
              (reason) => assert.equal(reason, "stop"),
            );
            const behind = db.session();
            const releasing = holder[Symbol.asyncDispose]();
            for (let i = 0; i < microtasks; i++) await undefined;
            controller.abort("stop");
            await releasing;
            await outcome;
            await (await behind)[Symbol.asyncDispose]();
          }
        });
        assert.deepEqual([unhandled, await ids(), await open()], [[], acknowledged.sort(), 0]);
        assert.deepEqual([db.statistics().inUse, db.statistics().waiting], [0, 0]);
      }));

    // Of three pools tried, all lost a place for good to a waiter that was aborted while its connection was opened.
    it("aborted while connecting: no place is lost", () =>
      withTable(
        subject,
        { max: 3, maxLifetimeMs: 1, cancelGraceMs: 500 },
        async ({ db, insert, ids, open }) => {
          const acknowledged: string[] = [];
          const unhandled = await unhandledDuring(async () => {
            await Promise.all(Array.from({ length: isSource ? 90 : 30 }, async (_, i) => {
              await pause(i * 2);
              const controller = new AbortController();
              const timer = setTimeout(() => controller.abort("stop"), (i * 7) % 25);
              const id = `row ${i}`;
              try {
                await db.transaction((tx) => insert(tx, id), { signal: controller.signal });
                acknowledged.push(id);
              } catch (reason) {
                assert.equal(reason, "stop");
              } finally {
                clearTimeout(timer);
              }
            }));
          });
          const sessions = await Promise.all([db.session(), db.session(), db.session()]);
          for (const session of sessions) await session[Symbol.asyncDispose]();
          assert.deepEqual([unhandled, await ids(), await open()], [[], acknowledged.sort(), 0]);
          assert.deepEqual([db.statistics().inUse, db.statistics().waiting], [0, 0]);
        },
      ));

    it("aborted while a silent network connects: the caller is free at once, the place when the network is back", () =>
      withTable(
        subject,
        { max: 1, connect: { attemptTimeoutMs: 1_000 } },
        async ({ db, proxy, connections }) => {
          proxy.frozen = true;
          await assert.rejects(db.transaction(() => {}, { signal: AbortSignal.timeout(50) }), {
            name: "TimeoutError",
          });
          assert.deepEqual([db.statistics().connecting, db.statistics().connectFailed], [1, 0]);
          proxy.frozen = false;
          assert.equal((await db.query("select 1 as one")).rowCount, 1);
          await until(async () => await connections() === 1);
        },
      ));

    it("given up while a server that never speaks is connected to: no line stays open", async () => {
      const open = new Set<Socket>();
      const server = createServer((line) => {
        open.add(line.resume());
        line.on("error", () => {}).on("close", () => open.delete(line));
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
      const { port } = server.address() as AddressInfo;
      const place = { host: "127.0.0.1", port, user: "x", password: "", database: "x", url: "" };
      // The packages' own limits come too late for the test.
      const late = name === "mysql2" ? { connectTimeout: 600_000 } : {};
      const db = new Database(subject.driver(place, late), { max: 2, connect: { attemptTimeoutMs: 50 } });
      try {
        await assert.rejects(db.query("select 1 as one", [], { timeoutMs: 300 }), { name: "TimeoutError" });
        await db.close();
        await until(() => open.size === 0);
      } finally {
        for (const line of open) line.destroy();
        server.close();
      }
    });

    it("connects again and again until the server is there, for as long as its callers can wait", () =>
      withTable(subject, { max: 3 }, async ({ db, proxy, insert, ids }) => {
        proxy.refusing = true;
        const patient = Promise.all(["a", "b", "c", "d"].map((id) => db.transaction((tx) => insert(tx, id))));
        const hurried = assert.rejects(db.query("select 1 as one", [], { timeoutMs: 200 }), {
          name: /TimeoutError/,
        });
        await hurried;
        // The others come back by themselves as long as nobody has said anything on the line.
        if (name === "pg" || name === "mysql2") await until(() => db.statistics().connectFailed >= 2);
        proxy.refusing = false;
        await patient;
        assert.deepEqual(await ids(), ["a", "b", "c", "d"]);
      }));

    it("tells at once what will not pass by waiting: no such user, no such database", () =>
      withTable(subject, { max: 2 }, async ({ place }) => {
        const wrong = [{ database: "uno_missing" }, {
          user: "uno_nobody",
          username: "uno_nobody",
          password: "x",
        }];
        for (const options of wrong) {
          await using db = new Database(subject.driver({ ...place, ...options }), { max: 2 });
          const startedMs = performance.now();
          const failures = await Promise.allSettled(
            Array.from({ length: 5 }, () => db.query("select 1 as one")),
          );
          for (const failure of failures) {
            assert.equal(failure.status, "rejected");
            const { reason } = failure as PromiseRejectedResult;
            assert.ok(reason instanceof ConnectFailedError, String(reason));
            assert.equal(reason.failure, "access");
            assert.doesNotMatch(String(reason), /password=|:x@/);
          }
          assert.ok(performance.now() - startedMs < 15_000, "nobody waits to the limit");
        }
      }));

    it("gives up connecting after so many attempts, where that is asked for", () =>
      withTable(subject, { max: 1 }, async ({ place }) => {
        // Nobody listens there.
        const driver = subject.driver({ ...place, port: 1 });
        await using db = new Database(driver, {
          connect: { attempts: 3, backoff: { baseMs: 5, jitter: "none" } },
        });
        await assert.rejects(
          db.query("select 1 as one"),
          (error) => error instanceof ConnectFailedError && error.attempts === 3,
        );
      }));
  });

  suite(`a server that is started again, through ${name}`, subject.kind.skipOwn || skip, () => {
    it(
      "20 clients that are busy meanwhile all settle, and go on",
      { skip: isSource ? false : "run once" },
      async () => {
        await using server = await subject.kind.own();
        await using place = await subject.kind.emptyOn(server);
        await using db = new Database(subject.driver(place), { max: 8, name: "test" });
        await db.query("create table t (id varchar(40) primary key, n integer not null)");
        const p = placeholder(subject.dialect, 1);
        const acknowledged: string[] = [];
        const uncertain: string[] = [];
        let running = true;
        const unhandled = await unhandledDuring(async () => {
          const clients = Array.from({ length: 20 }, async (_, client) => {
            for (let i = 0; running; i++) {
              const id = `${client}/${i}`;
              try {
                await db.transaction((tx) => tx.query(`insert into t (id, n) values (${p}, 1)`, [id]));
                acknowledged.push(id);
              } catch (error) {
                if (error instanceof CommitOutcomeUnknownError) uncertain.push(id);
                else assert.ok(error instanceof ConnectionLostError, String(error));
              }
            }
          });
          await pause(150);
          await server.stop();
          await pause(100);
          await server.start();
          const { length } = acknowledged;
          await until(() => acknowledged.length > length + 100);
          running = false;
          await Promise.all(clients);
        });
        assert.deepEqual(unhandled, []);
        const stored = new Set((await db.query<{ id: string }>("select id from t")).rows.map(({ id }) => id));
        const missing = acknowledged.filter((id) => !stored.has(id));
        assert.deepEqual(missing, []);
        assert.ok(stored.size <= acknowledged.length + uncertain.length);
        const { inUse, waiting } = db.statistics();
        assert.deepEqual([inUse, waiting], [0, 0]);
        const sessions = await Promise.all(Array.from({ length: 8 }, () => db.session()));
        for (const session of sessions) await session[Symbol.asyncDispose]();
      },
    );
  });
}
