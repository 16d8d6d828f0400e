/** PostgreSQL for tests: a given server, the one of this test run, or one of the asker's own. */
import { existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import pg from "pg";
import {
  existingUser,
  isRoot,
  removeFolder,
  runAs,
  type ServerCommand,
  serverFolder,
  startServer,
} from "./server_process.ts";
import type { ServerPlace, TestServer } from "./test_server.ts";

/** Where the programs of PostgreSQL lie; the test run says so where it had to fetch them. */
export function findPostgres(): string | undefined {
  const given = process.env.UNO_POSTGRES_BIN;
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...(given ? [given] : []),
    ...(process.env.PATH ?? "").split(delimiter),
    ...versions.map((version) => join(debian, version, "bin")),
  ];
  return folders.find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")));
}

/** Starts a server of one's own. */
export async function startPostgres(): Promise<TestServer> {
  const programs = findPostgres();
  if (programs === undefined) throw new Error("Cannot start PostgreSQL: its programs were not found");
  // It refuses to run as root.
  const user = isRoot() ? existingUser("postgres", "nobody") : undefined;
  const folder = serverFolder(user);
  const data = join(folder, "data");
  runAs(user, join(programs, "initdb"), [
    ...["-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "--encoding=UTF8"],
  ]);
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    fsync: "off",
    full_page_writes: "off",
    max_connections: "120",
    max_prepared_transactions: "40",
    deadlock_timeout: "100ms",
    autovacuum: "off",
    shared_buffers: "32MB",
  };
  const command: ServerCommand = {
    program: join(programs, "postgres"),
    arguments: (port) => [
      ...["-D", data, "-p", String(port)],
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ],
    ready: /ready to accept connections/,
    signal: "QUIT",
    user,
  };
  let running = await startServer(command, folder);
  return {
    get url() {
      return `postgres://postgres@127.0.0.1:${running.port}/postgres`;
    },
    async stop() {
      await running.stop();
    },
    async start() {
      running = await startServer(command, folder, running.port);
    },
    async [Symbol.asyncDispose]() {
      await running.stop();
      removeFolder(folder);
    },
  };
}

/** Databases that are empty again, by server. */
const emptied = new Map<string, string[]>();

/** Fails where somebody still uses the database. */
const UNUSED = `do $$ begin
  if exists (select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid())
    or exists (select from pg_prepared_xacts where database = current_database())
  then raise 'still in use'; end if;
end $$`;

/**
 * Makes an empty database, and drops it when disposed of.
 *
 * @param keep Whether to empty it instead and give it out again, as making one costs more than most tests do; for a
 * server that is thrown away afterwards.
 */
export async function emptyPostgres(url: string, keep: boolean): Promise<ServerPlace & AsyncDisposable> {
  const { hostname, port, username, password } = new URL(url);
  const free = emptied.get(url) ?? [];
  emptied.set(url, free);
  let database = free.pop();
  if (database === undefined) {
    database = `uno_${process.pid}_${crypto.randomUUID().slice(0, 8)}`;
    await runOn(url, `create database ${database}`);
  }
  const name = database;
  const emptyIt = (): Promise<boolean> =>
    runOn(new URL(name, url).href, UNUSED, "drop schema public cascade", "create schema public")
      .then(() => true, () => false);
  return {
    host: hostname,
    port: Number(port || 5432),
    user: username,
    password: decodeURIComponent(password),
    database,
    async [Symbol.asyncDispose]() {
      if (keep && await emptyIt()) free.push(name);
      else await runOn(url, `drop database if exists ${name} with (force)`).catch(() => {});
    },
  };
}

async function runOn(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const sql of statements) await client.query(sql);
  } finally {
    await client.end();
  }
}
