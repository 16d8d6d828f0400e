/** A PostgreSQL of the benches' own, started when the first contestant asks for it and gone with the process. */
import { startPostgres } from "../../../tests/database/_servers/postgres.ts";
import { peer } from "../_peers.ts";

/** What is used of `pg`, by hand and below all contestants. */
export interface Pg {
  readonly Client: new (config: object) => PgClient;
  readonly Pool: new (config: object) => PgPool;
}

export interface PgClient {
  connect(): Promise<unknown>;
  query(sql: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

export interface PgPool {
  connect(): Promise<PgClient & { release(): void }>;
  query(sql: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

export const INSERT = "insert into entries (name, size) values ($1, $2)";

let started:
  | Promise<{ pg: Pg; config: { host: string; port: number; user: string; database: string } }>
  | undefined;

/** The package and where its server is. */
export function postgres(): typeof started & object {
  return started ??= start();
}

async function start(): Promise<Awaited<NonNullable<typeof started>>> {
  const pg = (await peer<{ default: Pg }>("pg")).default;
  const { hostname: host, port } = new URL((await startPostgres()).url);
  const config = { host, port: Number(port), user: "postgres", database: "postgres" };
  const client = new pg.Client(config);
  await client.connect();
  await client.query(
    "create table entries (id serial primary key, name text not null, size integer not null)",
  );
  return { pg, config };
}

/** Throws unless `work` has stored exactly so many more rows. */
export async function stores(number: number, work: () => Promise<unknown>): Promise<void> {
  const { pg, config } = await postgres();
  const client = new pg.Client(config) as PgClient & { end(): Promise<void> };
  await client.connect();
  const count = async (): Promise<number> =>
    Number((await client.query("select count(*) as n from entries")).rows[0]!.n);
  const before = await count();
  await work();
  const after = await count();
  await client.end();
  if (after !== before + number) throw new Error(`stored ${after - before} rows instead of ${number}`);
}

/** A row, as its caller gives it. */
export interface Draft {
  readonly name: string;
  readonly size: number;
}

/** A row, as the server gives it back. */
export interface Stored extends Draft {
  readonly id: number;
}

/** What is used of kysely. */
export interface Kysely {
  transaction(): { execute(fn: (trx: Kysely) => Promise<unknown>): Promise<unknown> };
  insertInto(table: string): {
    values(rows: object): { execute(): Promise<unknown>; returningAll(): { execute(): Promise<Stored[]> } };
  };
  selectFrom(table: string): {
    selectAll(): {
      where(column: string, operator: string, value: unknown): {
        executeTakeFirst(): Promise<Stored | undefined>;
      };
    };
  };
}

/** Kysely on a pool of at most `max` connections. */
export async function kyselyOn(max: number): Promise<Kysely> {
  const { pg, config } = await postgres();
  const { Kysely, PostgresDialect } = await peer<{
    Kysely: new (config: { dialect: unknown }) => Kysely;
    PostgresDialect: new (config: { pool: unknown }) => unknown;
  }>("kysely");
  return new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ ...config, max }) }) });
}

interface DrizzleSelect extends PromiseLike<Stored[]> {
  $withCache(): PromiseLike<Stored[]>;
}

/** What is used of drizzle. */
export interface Drizzle {
  transaction(fn: (tx: Drizzle) => Promise<unknown>): Promise<unknown>;
  insert(table: unknown): {
    values(rows: object): PromiseLike<unknown> & { returning(): PromiseLike<Stored[]> };
  };
  select(): { from(table: unknown): { where(criterion: unknown): DrizzleSelect } };
}

/** Drizzle on a pool of at most `max` connections, with its description of the table. */
export async function drizzleOn(
  max: number,
  more: object = {},
): Promise<{ db: Drizzle; entries: { readonly id: unknown } }> {
  const { pg, config } = await postgres();
  const { drizzle } = await peer<{ drizzle(pool: unknown, more: object): Drizzle }>(
    "drizzle-orm/node-postgres",
  );
  const { integer, pgTable, serial, text } = await peer<
    Record<string, (name: string, more?: object) => { readonly id: unknown }>
  >("drizzle-orm/pg-core");
  const entries = pgTable!("entries", { id: serial!("id"), name: text!("name"), size: integer!("size") });
  return { db: drizzle(new pg.Pool({ ...config, max }), more), entries };
}

/** What is used of knex. */
export interface Knex {
  (table: string): {
    insert(rows: object, returning?: string[]): Promise<Stored[]>;
    where(criteria: object): { first(): Promise<Stored | undefined> };
  };
  transaction(fn: (trx: Knex) => Promise<unknown>): Promise<unknown>;
}

/** Knex with at most `max` connections. */
export async function knexOn(max: number): Promise<Knex> {
  const { config } = await postgres();
  const { default: knex } = await peer<{ default(config: object): Knex }>("knex");
  return knex({ client: "pg", connection: config, pool: { min: 1, max } });
}
