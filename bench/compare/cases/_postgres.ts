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

/** Throws unless `work` has stored exactly one more row. */
export async function storesOne(work: () => Promise<unknown>): Promise<void> {
  const { pg, config } = await postgres();
  const client = new pg.Client(config) as PgClient & { end(): Promise<void> };
  await client.connect();
  const count = async (): Promise<number> =>
    Number((await client.query("select count(*) as n from entries")).rows[0]!.n);
  const before = await count();
  await work();
  const after = await count();
  await client.end();
  if (after !== before + 1) throw new Error(`stored ${after - before} rows instead of 1`);
}
