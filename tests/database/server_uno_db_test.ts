/** `UnoDb` on real servers. */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import process from "node:process";
import { it } from "node:test";
import {
  Database,
  DatabaseError,
  type Propagation,
  table,
  type TransactionOptions,
  UnoDb,
} from "@uno/async/database";
import { suite } from "../_suite.ts";
import { unhandledDuring } from "../_unhandled.ts";
import { orders, unoOn } from "./_orders.ts";
import { seeded } from "./_servers/seeded.ts";
import { subjects } from "./_servers/subjects.ts";
import { killOne, openOn, pause } from "./_servers/with_table.ts";
import { scenarios } from "./_uno_scenarios.ts";

for (const subject of subjects) {
  suite(`UnoDb on a server through ${subject.name}`, subject.skip, () => {
    for (const [promise, scenario] of Object.entries(scenarios)) {
      it(promise, async () => {
        await using place = await subject.kind.empty();
        await using db = new Database(subject.driver(place), { max: 5, name: "test" });
        await scenario(db);
      });
    }

    it("pages by times that are finer than a Date can hold, each row once", async () => {
      await using place = await subject.kind.empty();
      await using db = new Database(subject.driver(place), { max: 2, name: "test" });
      const isPostgres = subject.dialect === "postgres";
      interface Event {
        readonly id: number;
        readonly at: Date | null;
      }
      const events = table<Event, "id">("events", { key: "id", columns: ["id", "at"] });
      await using uno = new UnoDb(db);
      for (
        const type of isPostgres
          ? ["timestamptz", "timestamp", "date"]
          : ["datetime(6)", "timestamp(6)", "date"]
      ) {
        await db.query(`create table events (id integer primary key, at ${type} null)`);
        // Several within each millisecond, some at the very same time, one without.
        for (let id = 1; id <= 12; id++) {
          const at = id === 5 ? "null" : `'2024-03-01 10:00:00.00${id % 3}${id % 4}57'`;
          await db.query(`insert into events (id, at) values (${id}, ${at})`);
        }
        for (const orderBy of ["at", { desc: "at" }] as const) {
          const whole = (await uno.filter(events, {}, { orderBy, limit: 100 })).map(({ id }) => id);
          assert.equal(whole.length, 12);
          for (const limit of [1, 5]) {
            const seen: number[] = [];
            let after: Event | undefined;
            while (seen.length < 20) {
              const page: Event[] = await uno.filter(events, {}, { orderBy, limit, after });
              if (page.length === 0) break;
              seen.push(...page.map(({ id }) => id));
              after = page.at(-1);
            }
            assert.deepEqual(seen, whole, `by ${type} ${JSON.stringify(orderBy)}, ${limit} at a time`);
          }
        }
        // One that has another time by now is taken for where it was, not for where it is.
        const after = { id: 1, at: new Date(Date.UTC(2000, 0)) };
        const ofNull = (first: boolean): number => isPostgres === first ? 1 : 0;
        const [before, behind] = [{ desc: "at" }, "at"] as const;
        assert.equal((await uno.filter(events, {}, { orderBy: before, after })).length, ofNull(false));
        assert.equal((await uno.filter(events, {}, { orderBy: behind, after })).length, 11 + ofNull(true));
        await db.query("drop table events");
      }
    });

    it("is part of the transaction in effect, as its propagation says", async () => {
      await using place = await subject.kind.empty();
      const context = new AsyncLocalStorage();
      await using db = new Database(subject.driver(place), { max: 4, name: "test", context });
      await using uno = await unoOn(db);
      const failure = new Error("no");
      const failing = async (work: () => Promise<unknown>, options?: TransactionOptions): Promise<void> => {
        const failed = db.transaction(async () => {
          await work();
          throw failure;
        }, options);
        await assert.rejects(failed, (error) => error === failure);
      };
      const refs = async (): Promise<unknown[]> =>
        (await uno.filter(orders, {}, { orderBy: "ref" })).map(({ ref }) => ref);
      const insert = (ref: string) => uno.insert(orders, { ref });
      const within = (propagation: Propagation, ...some: string[]) =>
        uno.transaction(async (tables) => {
          for (const ref of some) await tables.insert(orders, { ref });
        }, { propagation });

      await failing(() => Promise.all([uno.batchInsert(orders, { ref: "lost" }), insert("lost too")]));
      await failing(() => within("required", "lost"));
      await failing(() => within("requiresNew", "kept apart"));
      await db.transaction(async () => {
        await insert("before");
        await failing(() => Promise.all(["x", "y"].map((ref) => uno.batchInsert(orders, { ref }))), {
          propagation: "nested",
        });
        await within("nested", "inside");
        await insert("behind");
      });
      assert.deepEqual(await refs(), ["before", "behind", "inside", "kept apart"]);

      // What is written is seen inside, at once, and outside after the commit, whatever is cached.
      const { id } = await insert("cached");
      const total = async () => (await uno.get(orders, id, { cache: true }))!.total;
      const seen = [await total()];
      await db.transaction(async () => {
        await uno.update(orders, id, { total: 42 });
        seen.push(await total(), await db.transaction(total, { propagation: "notSupported" }));
      });
      assert.deepEqual([...seen, await total()], [0, 42, 0, 42]);

      // Each branch has batches of its own; those from outside go on by themselves.
      const outside = uno.batchInsert(orders, { ref: "z outside" });
      const branches = await Promise.allSettled([1, 2, 3].map((branch) =>
        db.transaction(async () => {
          await Promise.all(
            ["a", "b"].map((part) => uno.batchInsert(orders, { ref: `z ${branch} ${part}` })),
          );
          if (branch === 2) throw failure;
        })
      ));
      assert.deepEqual(branches.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
      await outside;
      const expected = ["z 1 a", "z 1 b", "z 3 a", "z 3 b", "z outside"];
      assert.deepEqual((await refs()).filter((ref) => String(ref).startsWith("z")), expected);
      assert.equal(db.statistics().inUse, 0);
    });

    it("killed at random moments: who got a row has it stored, once, and every session is good", async () => {
      const unhandled = await unhandledDuring(async () => {
        await using place = await subject.kind.empty();
        await using outside = new Database(subject.driver(place), { max: 1, name: "outside" });
        await using db = new Database(subject.driver(place), { max: 4, name: "test" });
        await using uno = await unoOn(db, { batch: { maxSize: 10, concurrency: 2 } });
        const acknowledged = new Map<string, number>();
        let killing = true;
        const killer = (async () => {
          while (killing) {
            await killOne(outside);
            await pause(10);
          }
        })();
        await Promise.all(Array.from({ length: 20 }, async (_, caller) => {
          for (let i = 0; i < 15; i++) {
            const ref = `${caller}-${i}`;
            try {
              const { id } = await uno.batchInsert(orders, { ref });
              acknowledged.set(ref, id);
              await uno.batchUpdate(orders, id, { total: i });
            } catch (error) {
              assert.ok(error instanceof DatabaseError, String(error));
              assert.match(error.name, /^(?:ConnectionLost|CommitOutcomeUnknown|TransactionDoomed)Error$/);
            }
          }
        })).finally(() => killing = false);
        await killer;
        const { rows } = await outside.query<{ id: number; ref: string }>("select id, ref from orders");
        const stored = new Map(rows.map(({ id, ref }) => [ref, id]));
        assert.equal(stored.size, rows.length, "each once");
        for (const [ref, id] of acknowledged) assert.equal(stored.get(ref), id);
        assert.ok(acknowledged.size > 0);
        assert.deepEqual([await openOn(outside), db.statistics().inUse], [0, 0]);
      });
      assert.deepEqual(unhandled, []);
    });

    it("aborted at random moments: who got a row has it stored, once, and every session is good", async () => {
      const seed = Number(process.env.UNO_SEED ?? Math.floor(Math.random() * 2 ** 31));
      const random = seeded(seed);
      const unhandled = await unhandledDuring(async () => {
        await using place = await subject.kind.empty();
        await using db = new Database(subject.driver(place), { max: 3, name: "test" });
        await using uno = await unoOn(db, { batch: { maxSize: 20, concurrency: 2 } });
        const acknowledged = new Map<string, number>();
        await Promise.all(Array.from({ length: 30 }, async (_, caller) => {
          for (let i = 0; i < 10; i++) {
            const ref = `${caller}-${i}`;
            const controller = new AbortController();
            const reason = new Error(`stop ${ref}`);
            const timer = setTimeout(() => controller.abort(reason), random() * 10);
            try {
              const { id } = await uno.batchInsert(orders, { ref }, { signal: controller.signal });
              acknowledged.set(ref, id);
              await uno.batchUpdate(orders, id, { total: 7 }, { signal: controller.signal });
            } catch (error) {
              assert.equal(error, reason, `seed ${seed}`);
            } finally {
              clearTimeout(timer);
            }
          }
        }));
        await uno.close();
        const { rows } = await db.query<{ id: number; ref: string }>("select id, ref from orders");
        const stored = new Map(rows.map(({ id, ref }) => [ref, id]));
        assert.equal(stored.size, rows.length, `seed ${seed}`);
        for (const [ref, id] of acknowledged) assert.equal(stored.get(ref), id, `seed ${seed}`);
        assert.equal(db.statistics().inUse, 0);
      });
      assert.deepEqual(unhandled, []);
    });
  });
}
