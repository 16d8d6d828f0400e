/** A transaction of one insert, through the same driver to the same server. */
import { pgDriver } from "../../../src/database/adapters/pg.ts";
import { Database } from "../../../src/database/database.ts";
import { peer } from "../_peers.ts";
import type { Entry, Rival, Row } from "../_rows.ts";
import { INSERT, postgres, storesOne } from "./_postgres.ts";

/** One after another, on one connection. */
function oneByOne(name: string, make: () => Promise<(i: number) => Promise<unknown>>): Rival<Entry> {
  return {
    name,
    async make() {
      const insert = await make();
      await storesOne(() => insert(0));
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

interface Kysely {
  transaction(): { execute(fn: (trx: KyselyTransaction) => Promise<unknown>): Promise<unknown> };
}
interface KyselyTransaction {
  insertInto(table: string): { values(row: object): { execute(): Promise<unknown> } };
}
interface Drizzle {
  transaction(
    fn: (tx: { insert(table: unknown): { values(row: object): Promise<unknown> } }) => Promise<unknown>,
  ): Promise<
    unknown
  >;
}
type Knex = {
  transaction(
    fn: (trx: (table: string) => { insert(row: object): Promise<unknown> }) => Promise<unknown>,
  ): Promise<unknown>;
};

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
        const { pg, config } = await postgres();
        const { Kysely, PostgresDialect } = await peer<{
          Kysely: new (config: { dialect: unknown }) => Kysely;
          PostgresDialect: new (config: { pool: unknown }) => unknown;
        }>("kysely");
        const pool = new pg.Pool({ ...config, max: 1 });
        const db = new Kysely({ dialect: new PostgresDialect({ pool }) });
        return (i) =>
          db.transaction().execute(async (trx) => {
            await trx.insertInto("entries").values({ name: `entry ${i}`, size: i }).execute();
          });
      }),
      oneByOne("drizzle-orm", async () => {
        const { pg, config } = await postgres();
        const { drizzle } = await peer<{ drizzle(pool: unknown): Drizzle }>("drizzle-orm/node-postgres");
        const { integer, pgTable, serial, text } = await peer<
          Record<string, (name: string, more?: object) => object>
        >(
          "drizzle-orm/pg-core",
        );
        const entries = pgTable!("entries", {
          id: serial!("id"),
          name: text!("name"),
          size: integer!("size"),
        });
        const db = drizzle(new pg.Pool({ ...config, max: 1 }));
        return (i) =>
          db.transaction(async (tx) => {
            await tx.insert(entries).values({ name: `entry ${i}`, size: i });
          });
      }),
      oneByOne("knex", async () => {
        const { config } = await postgres();
        const { default: knex } = await peer<{ default(config: object): Knex }>("knex");
        const db = knex({ client: "pg", connection: config, pool: { min: 1, max: 1 } });
        return (i) =>
          db.transaction(async (trx) => {
            await trx("entries").insert({ name: `entry ${i}`, size: i });
          });
      }),
    ],
  },
];
