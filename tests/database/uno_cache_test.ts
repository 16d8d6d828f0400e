/** The cache of `UnoDb` follows commits, whatever the order in which reads and writes run into each other. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { observe } from "@uno/async";
import { sleep } from "@uno/async/cancel";
import {
  CommitOutcomeUnknownError,
  Database,
  table,
  type TableAccess,
  UnoDb,
  type UnoTransaction,
} from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { sweep, world } from "@uno/async/testing";
import { changeTags, rowTags } from "../../src/database/_uno_tags.ts";
import { RowsServer } from "./_rows_driver.ts";

const rows = table<{ id: number; total: number }, "id">("rows", { key: "id", columns: ["id", "total"] });

const idArb = fc.integer({ min: 1, max: 3 });
const writesArb = fc.array(fc.record({ how: fc.constantFrom("update", "delete", "insert"), id: idArb }), {
  minLength: 1,
  maxLength: 3,
});
const stepArb = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("get" as const), id: idArb }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("list" as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      writes: writesArb,
      /** Those of a savepoint, and whether it is taken back. */
      inner: fc.option(fc.record({ writes: writesArb, fails: fc.boolean() }), { nil: undefined }),
      fails: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("batch" as const),
      how: fc.constantFrom("update", "insert"),
      ids: fc.array(idArb, { minLength: 1, maxLength: 3 }),
      inside: fc.boolean(),
    }),
  },
);

describe("tags of reads and writes", () => {
  it("meet where a database may take keys for equal", () => {
    const keyed = table("folded", { key: "id", columns: ["id"] });
    const meets = (read: unknown, written: unknown): boolean => {
      const tags = new Set(rowTags(keyed, read, true));
      return changeTags({ table: "FOLDED", id: written }).some((tag) => tags.has(tag));
    };
    const equal: [unknown, unknown][] = [
      ["Infinity", "infinity"],
      ["12", "١٢"],
      ["oe", "œ"],
      ["øre", "ore"],
      ["Straße", "STRASSE"],
      ["5", 5],
      ["5.0", 5n],
      ["a-b", "A B"],
    ];
    for (const [a, b] of equal) assert.deepEqual([meets(a, b), meets(b, a)], [true, true], `${a} ${b}`);
    assert.deepEqual([meets(1, 2), meets("ada", "bob"), meets("ada", 7)], [false, false, false]);
  });

  it("meet for all rows of a table that is described with several keys", async () => {
    await using db = new Database(sqliteDriver({ file: ":memory:" }));
    await db.query("create table people (id integer primary key, email text unique, n integer)");
    await using uno = new UnoDb(db);
    const columns = ["id", "email", "n"] as const;
    const byId = table<{ id: number; email: string; n: number }, "id">("people", { key: "id", columns });
    const byEmail = table<{ id: number; email: string; n: number }, "email">("people", {
      key: "email",
      columns,
    });
    await uno.insert(byId, { id: 1, email: "ada@home", n: 1 });
    const read = async () => (await uno.get(byEmail, "ada@home", { cache: true }))?.n;
    assert.equal(await read(), 1);
    await uno.update(byId, 1, { n: 2 });
    assert.equal(await read(), 2);
    await uno.delete(byId, 1);
    assert.equal(await read(), undefined);
  });
});

describe("UnoDb cache", () => {
  it("gives nothing from before a commit that was acknowledged before the read", async () => {
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 4 }), step: stepArb }), {
          size: "max",
          maxLength: 40,
        }),
        fc.infiniteStream(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 }))),
        fc.infiniteStream(fc.constantFrom("answered", "answered", "answered", "lost", "late")),
        (steps, latencies, fates) =>
          world(async () => {
            const server = new RowsServer();
            server.commit(new Map([[1, -1], [2, -2]]));
            server.latencyMs = () => latencies.next().value as [number, number];
            server.fate = () => fates.next().value as "answered";
            await using db = new Database(server.driver, { max: 4 });
            await using uno = new UnoDb(db);
            // The last commit that was acknowledged, of each row and of any.
            const acknowledged = new Map<number | "any", number>();
            const acknowledge = (of: number | "any", commit: number): void => {
              acknowledged.set(of, Math.max(acknowledged.get(of) ?? 1, commit));
            };
            let next = 1;
            const running: Promise<unknown>[] = [];
            const begin = (one: Promise<unknown>): void => {
              one.catch(() => {});
              running.push(one);
            };
            const read = async (
              what: number | "any",
              pick: () => Promise<unknown>,
              of: (k: number) => unknown,
            ): Promise<void> => {
              const floor = acknowledged.get(what) ?? 1;
              const value = JSON.stringify(await pick());
              const possible = server.history.slice(floor).map((_, i) => JSON.stringify(of(floor + i)));
              assert.ok(possible.includes(value), `${value} is none of ${possible}, from commit ${floor} on`);
            };
            const get = (id: number): Promise<void> =>
              read(id, async () =>
                (await uno.get(rows, id, { cache: true }))?.total, (k) =>
                server.history[k]!.get(id));
            const list = (): Promise<void> =>
              read(
                "any",
                async () =>
                  (await uno.filter(rows, {}, { cache: true })).map(({ id, total }) => [id, total]),
                (k) => [...server.history[k]!].sort(([a], [b]) => a - b),
              );
            for (const { afterMs, step } of steps) {
              await sleep(afterMs);
              if (step.kind === "get") begin(get(step.id));
              else if (step.kind === "list") begin(list());
              else if (step.kind === "batch") {
                begin((async () => {
                  const batch = (tables: TableAccess) =>
                    Promise.allSettled(step.ids.map((id) => {
                      const total = next++;
                      return step.how === "insert"
                        ? tables.batchInsert(rows, { id, total })
                        : tables.batchUpdate(rows, id, { total });
                    }));
                  const outcomes = step.inside
                    ? await uno.transaction(batch).catch(() => [])
                    : await batch(uno);
                  for (const outcome of outcomes) {
                    if (outcome.status === "rejected" || outcome.value === undefined) continue;
                    const { id, total } = outcome.value;
                    const commit = server.history.findIndex((state) => state.get(id) === total);
                    // Else a later one of the same batch, or transaction, has written over it.
                    if (commit < 0) continue;
                    acknowledge(id, commit);
                    acknowledge("any", commit);
                  }
                })());
              } else {
                begin((async () => {
                  const failure = new Error("taken back");
                  const mark = {};
                  const write = async (tables: UnoTransaction, writes: typeof step.writes): Promise<void> => {
                    for (const { how, id } of writes) {
                      if (how === "update") await tables.update(rows, id, { total: next++ });
                      else if (how === "delete") await tables.delete(rows, id);
                      else if (await tables.get(rows, id) === undefined) {
                        await tables.insert(rows, { id, total: next++ });
                      }
                    }
                  };
                  try {
                    await uno.transaction(async (tables) => {
                      await tables.tx.query("mark", [mark]);
                      await write(tables, step.writes);
                      const { inner } = step;
                      if (inner !== undefined) {
                        await tables.tx.savepoint(async (savepoint) => {
                          await write(uno.in(savepoint), inner.writes);
                          if (inner.fails) throw failure;
                        }).catch((error) => {
                          if (error !== failure) throw error;
                        });
                      }
                      if (step.fails) throw failure;
                    });
                    const { commit, ids } = server.marks.get(mark)!;
                    if (ids.length > 0) acknowledge("any", commit);
                    for (const id of ids) acknowledge(id, commit);
                  } catch (error) {
                    if (error !== failure && !(error instanceof CommitOutcomeUnknownError)) {
                      assert.equal((error as Error).name, "ConstraintError");
                    }
                  }
                })());
              }
            }
            for (const outcome of await Promise.allSettled(running)) {
              if (outcome.status === "rejected") throw outcome.reason;
            }
            // What was on its way has come to an end, and everybody may know of it.
            await sleep(100);
            for (const what of [1, 2, 3, "any"] as const) acknowledge(what, server.history.length - 1);
            const { hits } = uno.statistics().cache;
            for (let i = 0; i < 2; i++) await Promise.all([get(1), get(2), get(3), list()]);
            found += uno.statistics().cache.hits - hits;
          }),
      ),
      { numRuns: 300 },
    );
    assert.ok(found > 100, "and it does keep what it may");
  });

  it("does not keep what is being written, and keeps it after a roll-back", () =>
    world(async () => {
      const server = new RowsServer();
      server.commit(new Map([[1, 10]]));
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db);
      const get = () => uno.get(rows, 1, { cache: true });
      await assert.rejects(uno.transaction(async (tables) => {
        await tables.update(rows, 1, { total: 11 });
        assert.deepEqual(await tables.get(rows, 1, { cache: true }), { id: 1, total: 11 }, "its own");
        await get();
        await get();
        assert.equal(server.selects, 3, "others read it anew");
        throw new Error("no");
      }));
      await get();
      await get();
      assert.equal(server.selects, 4);
    }));

  it("keeps nothing for a while of a transaction whose outcome is not known", () =>
    world(async () => {
      const server = new RowsServer();
      server.commit(new Map([[1, 10]]));
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db);
      const get = async () => (await uno.get(rows, 1, { cache: true }))?.total;
      await get();
      server.fate = () => "late";
      await assert.rejects(uno.update(rows, 1, { total: 11 }), CommitOutcomeUnknownError);
      assert.deepEqual(await get(), 10);
      await sleep(100);
      assert.deepEqual(await get(), 11, "it had still come to be");
      await sleep(60_000);
      const { selects } = server;
      await get();
      await get();
      assert.equal(server.selects, selects + 1);
    }));

  it("shares one read among those who ask at once, and keeps that there is no row", () =>
    world(async () => {
      const server = new RowsServer();
      server.commit(new Map([[1, 10]]));
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db);
      const found = await Promise.all(Array.from({ length: 50 }, () => uno.get(rows, 1, { cache: true })));
      assert.equal(new Set(found).size, 1);
      assert.equal(server.selects, 1);
      for (let i = 0; i < 2; i++) assert.equal(await uno.get(rows, 9, { cache: true }), undefined);
      assert.equal(server.selects, 2);
      // Equal criteria in another order are one.
      await uno.filter(rows, { id: { in: [1, 2, 1] }, total: { gt: 1, lt: 9 } }, { cache: true });
      await uno.filter(rows, { total: { lt: 9, gt: 1 }, id: { in: [2, 1] } }, { cache: true });
      assert.equal(server.selects, 3);
      await uno.filter(rows, { total: { lt: 9, gt: 1 }, id: { in: [2, 1] } }, { cache: true, limit: 1 });
      assert.equal(server.selects, 4);
    }));

  it("gives out what nobody can change", () =>
    world(async () => {
      const server = new RowsServer();
      server.commit(new Map([[1, 10]]));
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db);
      const row = (await uno.get(rows, 1, { cache: true }))!;
      assert.throws(() => row.total = 7, TypeError);
      const list = await uno.filter(rows, {}, { cache: true });
      list.pop();
      assert.equal((await uno.filter(rows, {}, { cache: true })).length, 1);
    }));

  it("ends a read after its TTL, that of the read before that of all", () =>
    world(async () => {
      const server = new RowsServer();
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db, { cache: { ttlMs: 1_000 } });
      await uno.get(rows, 1, { cache: { ttlMs: 100 } });
      await uno.get(rows, 2, { cache: true });
      await sleep(500);
      await uno.get(rows, 1, { cache: true });
      await uno.get(rows, 2, { cache: true });
      assert.equal(server.selects, 3);
    }));

  it("drops what is told to have changed elsewhere, and tells what has changed here", () =>
    world(async () => {
      const server = new RowsServer();
      server.commit(new Map([[1, 10], [2, 20]]));
      const told: unknown[] = [];
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db, { cache: { changed: (changes) => void told.push(...changes) } });
      const both = () => Promise.all([1, 2].map((id) => uno.get(rows, id, { cache: true })));
      await both();
      uno.invalidate(rows, 1);
      await both();
      assert.equal(server.selects, 3);
      uno.invalidate("ROWS");
      await both();
      assert.equal(server.selects, 5);
      await uno.update(rows, 2, { total: 21 });
      await uno.transaction((tables) => tables.touch(rows));
      await sleep(0);
      assert.deepEqual(told, [{ table: "rows", id: 2 }, { table: "rows", id: undefined }]);
    }));

  it("tells the observer when telling others fails, and the write stands", () =>
    world(async () => {
      const server = new RowsServer();
      server.commit(new Map([[1, 10]]));
      const failure = new Error("no line");
      const records: unknown[] = [];
      using _watching = observe({
        record: ({ kind, data }) => {
          if (kind === "invalidation.failed") records.push((data as { error: unknown }).error);
        },
      });
      await using db = new Database(server.driver);
      for (
        const changed of [() => Promise.reject(failure), () => {
          throw failure;
        }]
      ) {
        await using uno = new UnoDb(db, { cache: { changed } });
        assert.deepEqual(await uno.update(rows, 1, { total: 11 }), { id: 1, total: 11 });
        await sleep(0);
      }
      assert.deepEqual(records, [failure, failure]);
    }));

  it("goes by keys that a database may take for equal", () =>
    world(async () => {
      const server = new RowsServer();
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db);
      const words = table<{ id: string | number | bigint; total: number }, "id">("words", {
        key: "id",
        columns: ["id", "total"],
      });
      for (
        const [read, written] of [["abc", "ABC "], ["é", "E"], ["5.0", 5], [7n, "7"], [
          "a-b",
          "{AB}",
        ]] as const
      ) {
        await uno.get(words, read, { cache: true });
        const { selects } = server;
        await uno.get(words, read, { cache: true });
        assert.equal(server.selects, selects, "it is kept");
        uno.invalidate(words, written);
        await uno.get(words, read, { cache: true });
        assert.equal(server.selects, selects + 1, `${written} is ${read}`);
      }
    }));

  it("goes by keys that are bytes, which may be the text that they stand for", () =>
    world(async () => {
      const server = new RowsServer();
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db);
      const files = table<{ id: Uint8Array | string; total: number }, "id">("files", {
        key: "id",
        columns: ["id", "total"],
      });
      const [a, b] = [[0xff, 1], [0xff, 2]].map((bytes) => Uint8Array.from(bytes));
      const text = new TextEncoder().encode("abc");
      server.commit(new Map([a!, b!, text].map((id, i) => [id as unknown as number, i])));
      const read = async (): Promise<number> => {
        const { selects } = server;
        for (const id of [a!, b!, text]) await uno.get(files, id, { cache: true });
        return server.selects - selects;
      };
      await read();
      assert.equal(await read(), 0);
      for (const one of [Uint8Array.from(a!), "\\xFF01", "ABC", "\\x616263"]) {
        uno.invalidate(files, one);
        assert.equal(await read(), 1, `of ${one}, and of no other`);
      }
    }));

  it("aborted at any await, reads and writes leave sessions and later reads good", async () => {
    let server: RowsServer;
    let db: Database;
    let uno: UnoDb;
    const { points } = await sweep(async (signal) => {
      server = new RowsServer();
      server.commit(new Map([[1, 10]]));
      db = new Database(server.driver, { max: 2 });
      uno = new UnoDb(db);
      await uno.get(rows, 1, { cache: true, signal });
      const outcomes = await Promise.allSettled([
        uno.filter(rows, {}, { cache: true, signal }),
        uno.update(rows, 1, { total: 11 }, { signal }),
        uno.batchInsert(rows, { id: 2, total: 20 }, { signal }),
        uno.batchInsert(rows, { id: 3, total: 30 }, { signal }),
      ]);
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
      await uno.delete(rows, 1, { signal });
    }, async () => {
      const all = (await uno.filter(rows, {}, { cache: true })).map(({ id, total }) => [id, total]);
      assert.deepEqual(all, [...server.state].sort(([a], [b]) => a - b));
      for (const id of [1, 2, 3]) {
        assert.equal((await uno.get(rows, id, { cache: true }))?.total, server.state.get(id));
      }
      await uno.close();
      assert.equal(db.statistics().inUse, 0);
      await db.close();
    });
    assert.ok(points > 30);
  });
});
