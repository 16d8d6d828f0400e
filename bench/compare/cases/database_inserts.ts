/** 10,000 rows of 100 callers, each of whom waits for its own, through the same driver to the same server. */
import { pgDriver } from "../../../src/database/adapters/pg.ts";
import { Database } from "../../../src/database/database.ts";
import { table } from "../../../src/database/table.ts";
import { UnoDb } from "../../../src/database/uno_db.ts";
import { peer } from "../_peers.ts";
import type { Entry, Rival, Row } from "../_rows.ts";
import {
  type Draft,
  drizzleOn,
  knexOn,
  kyselyOn,
  type PgClient,
  type PgPool,
  postgres,
  type Stored,
  stores,
} from "./_postgres.ts";

const CALLERS = 100;
const BATCH = 1_000;

type Insert = (draft: Draft) => Promise<Stored>;
type InsertAll = (drafts: readonly Draft[]) => PromiseLike<readonly Stored[]>;

function drafts(size: number): Draft[] {
  return Array.from({ length: size }, (_, i) => ({ name: `entry ${i}`, size: i }));
}

/** Checks that each caller gets its own row back, and nothing else is stored. */
async function checkInsert(insert: Insert): Promise<void> {
  await stores(250, async () => {
    const given = drafts(250);
    const stored = await Promise.all(given.map((draft) => insert(draft)));
    if (new Set(stored.map(({ id }) => id)).size !== 250) throw new Error("two callers got the same row");
    if (stored.some(({ name }, i) => name !== given[i]!.name)) throw new Error("a caller got another's row");
  });
}

function callers(name: string, make: () => Promise<Insert>): Rival<Entry> {
  return {
    name,
    async make() {
      const insert = await make();
      return {
        waits: true,
        check: async () => (await checkInsert(insert), insert),
        async run(timer, size) {
          const given = drafts(size);
          const share = size / CALLERS;
          await emptyTable();
          timer.start();
          await Promise.all(Array.from({ length: CALLERS }, async (_, caller) => {
            await Promise.all(given.slice(caller * share, (caller + 1) * share).map(insert));
          }));
          timer.end();
        },
      };
    },
  };
}

/** What users write who have no batches: a loader whose keys are rows. */
function loaded(name: string, make: () => Promise<InsertAll>): Rival<Entry> {
  return callers(`dataloader, ${name}`, async () => {
    interface Loader {
      load(draft: Draft): Promise<Stored>;
    }
    type Options = { maxBatchSize: number; cache: boolean };
    const { default: DataLoader } = await peer<
      { default: new (load: InsertAll, options: Options) => Loader }
    >("dataloader");
    const loader = new DataLoader(await make(), { maxBatchSize: BATCH, cache: false });
    return (draft) => loader.load(draft);
  });
}

let emptier: PgClient | undefined;

/** Else a run would find a larger index than the one before it. */
async function emptyTable(): Promise<void> {
  if (emptier === undefined) {
    const { pg, config } = await postgres();
    emptier = new pg.Client(config);
    await emptier.connect();
  }
  await emptier.query("truncate entries");
}

/** One statement for all rows, by hand. */
async function insertRows(on: PgClient | PgPool, rows: readonly Draft[]): Promise<Stored[]> {
  const places = rows.map((_, i) => `($${2 * i + 1}, $${2 * i + 2})`).join(", ");
  const values = rows.flatMap(({ name, size }) => [name, size]);
  const answer = await on.query(
    `insert into entries (name, size) values ${places} returning id, name, size`,
    values,
  );
  return answer.rows as unknown as Stored[];
}

const entries = table<{ id: number; name: string; size: number }, "id">("entries", {
  key: "id",
  columns: ["id", "name", "size"],
});

export const rows: readonly Row[] = [
  {
    name: "database: 10,000 inserts from 100 callers, pg",
    kind: "time",
    size: 10_000,
    unit: CALLERS,
    rivals: [
      {
        name: "by hand, one statement",
        async make() {
          const { pg, config } = await postgres();
          const client = new pg.Client(config);
          await client.connect();
          return {
            waits: true,
            check: () => stores(250, () => insertRows(client, drafts(250))),
            async run(timer, size) {
              const given = drafts(size);
              await emptyTable();
              timer.start();
              await insertRows(client, given);
              timer.end();
            },
          };
        },
      },
      callers("@uno/async, batches of 1,000", async () => {
        const { pg, config } = await postgres();
        const uno = new UnoDb(new Database(pgDriver(pg as never, config), { max: 10 }), {
          batch: { maxSize: BATCH },
        });
        return (draft) => uno.batchInsert(entries, draft);
      }),
      callers("@uno/async, four batches of 1,000 at once", async () => {
        const { pg, config } = await postgres();
        const uno = new UnoDb(new Database(pgDriver(pg as never, config), { max: 10 }), {
          batch: { maxSize: BATCH, concurrency: 4 },
        });
        return (draft) => uno.batchInsert(entries, draft);
      }),
      callers("@uno/async, batches of 100", async () => {
        const { pg, config } = await postgres();
        const uno = new UnoDb(new Database(pgDriver(pg as never, config), { max: 10 }));
        return (draft) => uno.batchInsert(entries, draft);
      }),
      loaded("pg", async () => {
        const { pg, config } = await postgres();
        const pool = new pg.Pool({ ...config, max: 10 });
        return (rows) => insertRows(pool, rows);
      }),
      loaded("kysely", async () => {
        const db = await kyselyOn(10);
        return (rows) => db.insertInto("entries").values(rows).returningAll().execute();
      }),
      loaded("drizzle-orm", async () => {
        const { db, entries } = await drizzleOn(10);
        return (rows) => db.insert(entries).values(rows).returning();
      }),
      loaded("knex", async () => {
        const db = await knexOn(10);
        return (rows) => db("entries").insert(rows, ["id", "name", "size"]);
      }),
      callers("kysely, a statement a row", async () => {
        const db = await kyselyOn(10);
        return async (row) => (await db.insertInto("entries").values(row).returningAll().execute())[0]!;
      }),
      callers("drizzle-orm, a statement a row", async () => {
        const { db, entries } = await drizzleOn(10);
        return async (row) => (await db.insert(entries).values(row).returning())[0]!;
      }),
      callers("knex, a statement a row", async () => {
        const db = await knexOn(10);
        return async (row) => (await db("entries").insert(row, ["id", "name", "size"]))[0]!;
      }),
    ],
  },
];
