/** Pages of rows, in any order, against sorting in memory. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Database, type OrderBy, table, UnoDb } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";

interface Row {
  id: number;
  a: number | null;
  b: number | null;
}

const rows = table<Row, "id">("rows", { key: "id", columns: ["id", "a", "b"] });

type Order = OrderBy<Row>;

const anOrder = fc.array(
  fc.tuple(fc.constantFrom("id", "a", "b"), fc.boolean()).map(([column, desc]) =>
    desc ? { desc: column } : column
  ),
  { maxLength: 4 },
) as fc.Arbitrary<Order[]>;

const small = fc.option(fc.integer({ min: 0, max: 2 }));
const content = fc.array(fc.record({ a: small, b: small }), { maxLength: 12 })
  .map((all): Row[] => all.map((row, i) => ({ id: i + 1, ...row })));

/** As SQLite does: null before everything, the key last. */
function sorted(all: readonly Row[], order: readonly Order[]): number[] {
  const by = [...order, "id" as const];
  const compare = (x: Row, y: Row): number => {
    for (const one of by) {
      const [column, sign] = typeof one === "string" ? [one, 1] as const : [one.desc, -1] as const;
      const difference = (x[column] ?? -1) - (y[column] ?? -1);
      if (difference !== 0) return sign * difference;
    }
    return 0;
  };
  return [...all].sort(compare).map(({ id }) => id);
}

async function withRows(all: readonly Row[], fn: (uno: UnoDb) => Promise<void>): Promise<void> {
  await using db = new Database(sqliteDriver({ file: ":memory:" }));
  await db.query("create table rows (id integer primary key, a integer, b integer)");
  await using uno = new UnoDb(db);
  for (const row of all) await uno.insert(rows, row);
  await fn(uno);
}

describe("pages", () => {
  it("give every row once and in order, by any columns, of any size, with and without values", async () => {
    await fc.assert(
      fc.asyncProperty(
        content,
        anOrder,
        fc.integer({ min: 1, max: 5 }),
        (all, orderBy, limit) =>
          withRows(all, async (uno) => {
            const wanted = sorted(all, orderBy);
            const seen: number[] = [];
            let after: Row | undefined;
            while (seen.length <= all.length) {
              const page: Row[] = await uno.filter(rows, {}, { orderBy, limit, after });
              if (page.length === 0) break;
              assert.ok(page.length <= limit);
              seen.push(...page.map(({ id }) => id));
              after = page.at(-1);
            }
            assert.deepEqual(seen, wanted);
            // With an offset, too.
            const offset = Math.min(2, all.length);
            const rest = await uno.filter(rows, {}, { orderBy, offset });
            assert.deepEqual(rest.map(({ id }) => id), wanted.slice(offset));
          }),
      ),
      { numRuns: 150 },
    );
  });

  it("go on behind a row that is gone by now, and among rows that were written meanwhile", () =>
    withRows([1, 2, 3, 4].map((id) => ({ id, a: id * 10, b: null })), async (uno) => {
      const [first] = await uno.filter(rows, {}, { orderBy: "a", limit: 1 });
      await uno.delete(rows, 1);
      await uno.insert(rows, { id: 5, a: 15, b: null });
      await uno.insert(rows, { id: 6, a: 5, b: null });
      const next = await uno.filter(rows, {}, { orderBy: "a", after: first! });
      assert.deepEqual(next.map(({ id }) => id), [5, 2, 3, 4]);
    }));

  it("are refused when nobody could say what they are", () =>
    withRows([], async (uno) => {
      const refused: [object, RegExp][] = [
        [{ limit: -1 }, /limit must be .*received -1/],
        [{ limit: 1.5 }, /limit must be .*received 1.5/],
        [{ offset: "1" }, /offset must be .*received "1"/],
        [{ orderBy: "c" }, /orderBy must name columns of "id", "a", "b": received "c"/],
        [{ orderBy: { asc: "a" } }, /orderBy must name columns/],
        [{ orderBy: "a", after: { id: 1 } }, /after must have a value for "a": received undefined/],
        [{ after: { id: null } }, /after must have a value for "id": received null/],
        [{ after: { id: 1 }, offset: 1 }, /offset and after must not be given together/],
      ];
      for (const [page, message] of refused) {
        await assert.rejects(uno.filter(rows, {}, page as never), { message }, JSON.stringify(page));
      }
    }));
});
