/** A transaction of one insert, through the same driver to the same server. */
import { pgDriver } from "../../../src/database/adapters/pg.ts";
import { Database } from "../../../src/database/database.ts";
import type { Entry, Rival, Row } from "../_rows.ts";
import { drizzleOn, INSERT, knexOn, kyselyOn, postgres, stores } from "./_postgres.ts";

/** One after another, on one connection. */
function oneByOne(name: string, make: () => Promise<(i: number) => Promise<unknown>>): Rival<Entry> {
  return {
    name,
    async make() {
      const insert = await make();
      await stores(1, () => insert(0));
      return {
        waits: true,
        check: () => insert,
        async run(_, size) {
          for (let i = 0; i < size; i++) await insert(i);
        },
      };
    },
  };
}

export const rows: readonly Row[] = [
  {
    name: "database: transaction of one insert, pg",
    kind: "time",
    size: 300,
    rivals: [
      oneByOne("by hand", async () => {
        const { pg, config } = await postgres();
        const client = new pg.Client(config);
        await client.connect();
        return async (i) => {
          await client.query("BEGIN");
          try {
            await client.query(INSERT, [`entry ${i}`, i]);
            await client.query("COMMIT");
          } catch (error) {
            await client.query("ROLLBACK");
            throw error;
          }
        };
      }),
      oneByOne("@uno/async", async () => {
        const { pg, config } = await postgres();
        const db = new Database(pgDriver(pg as never, config), { max: 1 });
        return (i) =>
          db.transaction(async (tx) => {
            await tx.query(INSERT, [`entry ${i}`, i]);
          });
      }),
      oneByOne("kysely", async () => {
        const db = await kyselyOn(1);
        return (i) =>
          db.transaction().execute(async (trx) => {
            await trx.insertInto("entries").values({ name: `entry ${i}`, size: i }).execute();
          });
      }),
      oneByOne("drizzle-orm", async () => {
        const { db, entries } = await drizzleOn(1);
        return (i) =>
          db.transaction(async (tx) => {
            await tx.insert(entries).values({ name: `entry ${i}`, size: i });
          });
      }),
      oneByOne("knex", async () => {
        const db = await knexOn(1);
        return (i) =>
          db.transaction(async (trx) => {
            await trx("entries").insert({ name: `entry ${i}`, size: i });
          });
      }),
    ],
  },
];
