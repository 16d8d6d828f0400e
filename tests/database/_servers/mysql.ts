/** MariaDB for tests: a given server, the one of this test run, or one of the asker's own. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import mysql from "mysql2/promise";
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

const folders = [
  ...(process.env.PATH ?? "").split(delimiter),
  "/usr/sbin",
  "/usr/local/sbin",
  "/usr/local/bin",
];

function find(program: string): string | undefined {
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

/** Where the server's program lies. */
export function findMysql(): string | undefined {
  return find("mariadbd");
}

/** Starts a server of one's own. */
export async function startMysql(): Promise<TestServer> {
  const program = findMysql();
  const install = find("mariadb-install-db");
  if (program === undefined || install === undefined) {
    throw new Error("Cannot start MariaDB: its programs were not found");
  }
  const user = isRoot() ? existingUser("mysql", "nobody") : undefined;
  const folder = serverFolder(user);
  const data = join(folder, "data");
  runAs(user, install, [
    "--no-defaults",
    `--datadir=${data}`,
    "--auth-root-authentication-method=normal",
    "--skip-test-db",
  ]);
  const command: ServerCommand = {
    program,
    arguments: (port) => [
      ...["--no-defaults", `--datadir=${data}`, `--port=${port}`, "--bind-address=127.0.0.1"],
      ...[`--socket=${join(folder, "socket")}`, `--pid-file=${join(folder, "pid")}`, "--skip-log-bin"],
      ...["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M", "--max-connections=120"],
      ...["--skip-name-resolve", "--innodb-doublewrite=0"],
    ],
    ready: /ready for connections/,
    signal: "KILL",
    user,
  };
  let running = await startServer(command, folder);
  return {
    get url() {
      return `mysql://root@127.0.0.1:${running.port}`;
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

/** Makes an empty database, and drops it when disposed of. */
export async function emptyMysql(url: string): Promise<ServerPlace & AsyncDisposable> {
  const name = `uno_${process.pid}_${crypto.randomUUID().slice(0, 8)}`;
  const { hostname: host, port, username: user, password } = new URL(url);
  const place = { host, port: Number(port || 3306), user, password: decodeURIComponent(password) };
  const run = async (sql: string): Promise<void> => {
    const connection = await mysql.createConnection(place);
    await connection.query(sql).finally(() => connection.end());
  };
  await run(`create database ${name}`);
  return {
    ...place,
    database: name,
    [Symbol.asyncDispose]: () => run(`drop database if exists ${name}`).catch(() => {}),
  };
}
