/** An empty database with one table, and what tests do with it. */
import { Database, type DatabaseOptions, type Session } from "@uno/async/database";
import { placeholder, type ServerSubject } from "./subjects.ts";
import { type TcpProxy, tcpProxy } from "./tcp_proxy.ts";
import type { ServerPlace } from "./test_server.ts";

/** What a test gets. */
export interface Scene {
  /** The database that is tested; its connections go through the proxy. */
  readonly db: Database;
  /** Another way to the same database, past the proxy, to look from outside with. */
  readonly outside: Database;
  readonly proxy: TcpProxy;
  readonly place: ServerPlace;
  /** Makes a further database, past the proxy. */
  another(options?: DatabaseOptions): Database;
  /** Writes a row. */
  insert(session: Session, id: string, n?: number): Promise<unknown>;
  /** The ids that are stored. */
  ids(): Promise<string[]>;
  /**
   * Transactions that stay open on the server. One whose connection was ended is not: the server, which may be busy, is
   * given time to notice.
   */
  open(): Promise<number>;
  /** Connections that the server has to this database, but the one that asks. */
  connections(): Promise<number>;
}

/** Runs `fn` with a database of one table. */
export async function withTable(
  subject: ServerSubject,
  options: DatabaseOptions,
  fn: (scene: Scene) => Promise<void>,
  driverOptions: Record<string, unknown> = {},
): Promise<void> {
  const isPostgres = subject.dialect === "postgres";
  await using place = await subject.kind.empty();
  await using proxy = await tcpProxy(place);
  await using outside = new Database(subject.driver(place), { max: 1, name: "outside" });
  await outside.query("create table t (id varchar(40) primary key, n integer not null)");
  const through = { host: "127.0.0.1", port: proxy.port, ...driverOptions };
  await using db = new Database(subject.driver(place, through), { name: "test", ...options });
  const count = async (sql: string): Promise<number> =>
    Number((await outside.query<{ n: number | string }>(sql)).rows[0]!.n);
  const p = (n: number): string => placeholder(subject.dialect, n);
  await fn({
    db,
    outside,
    proxy,
    place,
    another: (more) => new Database(subject.driver(place), more),
    insert: (session, id, n = 1) => session.query(`insert into t (id, n) values (${p(1)}, ${p(2)})`, [id, n]),
    ids: async () =>
      (await outside.query<{ id: string }>("select id from t order by id")).rows.map(({ id }) => id),
    open: () => openOn(outside),
    connections: () =>
      count(
        isPostgres
          ? `select count(*)::int as n from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and ${CLIENTS}`
          : `select count(*) as n from information_schema.processlist
             where db = database() and id <> connection_id()`,
      ),
  });
}

/** In PostgreSQL, those who look after the tables are listed among the others, with transactions of their own. */
const CLIENTS = "backend_type = 'client backend'";

/** Transactions that stay open on the server, in the database of the one that asks and but for its own. */
export async function openOn(outside: Database): Promise<number> {
  const isPostgres = outside.dialect === "postgres";
  const sql = isPostgres
    ? `select count(*)::int as n from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null and ${CLIENTS}`
    : `select count(*) as n from information_schema.innodb_trx
       join information_schema.processlist on id = trx_mysql_thread_id
       where db = database() and id <> connection_id()`;
  let open = 0;
  for (let i = 0; i < 40; i++) {
    // What InnoDB says of itself is as old as the last time somebody asked, unless nobody has for 100 ms.
    if (i > 0 || !isPostgres) await pause(120);
    open = Number((await outside.query<{ n: number | string }>(sql)).rows[0]!.n);
    if (open === 0) break;
  }
  return open;
}

/** Ends one of the other connections to the database of the one that asks, by chance; if there is one. */
export async function killOne(outside: Database): Promise<void> {
  if (outside.dialect === "postgres") {
    await outside.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and ${CLIENTS} order by random() limit 1`,
    );
    return;
  }
  const { rows } = await outside.query<{ id: number }>(
    `select id from information_schema.processlist
     where db = database() and id <> connection_id() order by rand() limit 1`,
  );
  // It may have gone by itself.
  if (rows[0] !== undefined) await outside.query(`kill ${Number(rows[0].id)}`).catch(() => {});
}

/** Waits until `holds`, at most 20 seconds or so. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2_000; i++) {
    if (await holds()) return;
    await pause(10);
  }
  throw new Error("It did not come to that within 20 s");
}

/** Waits in real time. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
