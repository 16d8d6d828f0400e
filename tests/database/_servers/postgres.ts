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
      const { port } = running;
      running = await startServer({ ...command, arguments: () => command.arguments(port) }, folder);
    },
    async [Symbol.asyncDispose]() {
      await running.stop();
      removeFolder(folder);
    },
  };
}

/** Makes an empty database, and drops it when disposed of. */
export async function emptyPostgres(url: string): Promise<ServerPlace & AsyncDisposable> {
  const name = `uno_${process.pid}_${crypto.randomUUID().slice(0, 8)}`;
  const run = async (sql: string): Promise<void> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(sql).finally(() => client.end());
  };
  await run(`create database ${name}`);
  const { hostname, port, username, password } = new URL(url);
  return {
    host: hostname,
    port: Number(port || 5432),
    user: username,
    password: decodeURIComponent(password),
    database: name,
    [Symbol.asyncDispose]: () => run(`drop database if exists ${name} with (force)`).catch(() => {}),
  };
}
