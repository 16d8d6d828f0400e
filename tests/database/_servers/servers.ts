/**
 * The databases on servers that tests use. A test file asks for an empty database, or for a server of its own to kill;
 * where there is none it skips its tests with the reason given here. `UNO_TEST_SERVERS=required` makes that an error.
 */
import process from "node:process";
import { emptyMysql, findMysql, startMysql } from "./mysql.ts";
import { emptyPostgres, findPostgres, startPostgres } from "./postgres.ts";
import type { ServerPlace, TestServer } from "./test_server.ts";

/** A kind of server, as a test file sees it. */
export interface ServerKind {
  /** Why there is none; false when there is one. For `describe("…", { skip: postgres.skip }, …)`. */
  readonly skip: string | false;
  /** Why there is none that may be killed. */
  readonly skipOwn: string | false;
  /** Makes an empty database on a server that others use too. */
  empty(): Promise<ServerPlace & AsyncDisposable>;
  /** Makes an empty database on a server of one's own. */
  emptyOn(server: TestServer): Promise<ServerPlace & AsyncDisposable>;
  /** Starts a server of one's own. */
  own(): Promise<TestServer>;
}

interface Means {
  readonly what: string;
  /** The variable by which a user gives one. */
  readonly given: string;
  /** The variable by which a test run says which one it started for all. */
  readonly shared: string;
  readonly missing: string;
  find(): string | undefined;
  start(): Promise<TestServer>;
  /** Makes an empty database; `keep` where the server is thrown away after the tests. */
  empty(url: string, keep: boolean): Promise<ServerPlace & AsyncDisposable>;
}

function serverKind({ what, given, shared, missing, find, start, empty }: Means): ServerKind {
  const givenUrl = process.env[given];
  const sharedUrl = process.env[shared];
  const skip = givenUrl || sharedUrl || find() !== undefined ? false : missing;
  if (skip !== false && process.env.UNO_TEST_SERVERS === "required") {
    throw new Error(`Cannot test with ${what}: ${skip}`);
  }
  let mine: Promise<TestServer> | undefined;
  return {
    skip,
    skipOwn: skip === false && givenUrl ? `${given} names a server, which is not to be killed` : skip,
    empty: async () => empty(givenUrl || sharedUrl || (await (mine ??= start())).url, !givenUrl),
    emptyOn: ({ url }) => empty(url, false),
    own: start,
  };
}

/** PostgreSQL. */
export const postgres: ServerKind = serverKind({
  what: "PostgreSQL",
  given: "UNO_TEST_POSTGRES_URL",
  shared: "UNO_SHARED_POSTGRES_URL",
  missing: "no PostgreSQL: neither its programs (initdb, postgres) nor UNO_TEST_POSTGRES_URL",
  find: findPostgres,
  start: startPostgres,
  empty: emptyPostgres,
});

/** MariaDB, which stands in for MySQL. */
export const mysql: ServerKind = serverKind({
  what: "MariaDB",
  given: "UNO_TEST_MYSQL_URL",
  shared: "UNO_SHARED_MYSQL_URL",
  missing: "no MariaDB: neither its program (mariadbd) nor UNO_TEST_MYSQL_URL",
  find: findMysql,
  start: startMysql,
  empty: emptyMysql,
});
