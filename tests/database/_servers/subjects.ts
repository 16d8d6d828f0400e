/** The drivers that speak to a server, each with a way to an empty database of its own. */
import mariadb from "mysql2/promise";
import pg from "pg";
import postgresJs from "postgres";
import type { Driver } from "@uno/async/database";
import { bunSqlDriver } from "@uno/async/database/bun-sql";
import { mysql2Driver } from "@uno/async/database/mysql2";
import { pgDriver } from "@uno/async/database/pg";
import { postgresJsDriver } from "@uno/async/database/postgres-js";
import { mysql, postgres, type ServerKind } from "./servers.ts";
import type { ServerPlace } from "./test_server.ts";

/** A driver to be tested. */
export interface ServerSubject {
  readonly name: string;
  readonly dialect: "postgres" | "mysql";
  readonly kind: ServerKind;
  /** Why it can't be tested here. */
  readonly skip: string | false;
  /** Makes a driver to a database; options are those of `host` and `port`, for a proxy in between, and the driver's own. */
  driver(place: ServerPlace, options?: Record<string, unknown>): Driver;
}

/** All of them. */
export const subjects: readonly ServerSubject[] = [
  {
    name: "pg",
    dialect: "postgres",
    kind: postgres,
    skip: postgres.skip,
    driver: (place, options) => pgDriver(pg, { ...place, ...options }),
  },
  {
    name: "postgres.js",
    dialect: "postgres",
    kind: postgres,
    skip: postgres.skip,
    driver: ({ host, port, user, password, database }, options) =>
      postgresJsDriver(postgresJs, { host, port, user, password, database, ...options }),
  },
  {
    name: "Bun.SQL",
    dialect: "postgres",
    kind: postgres,
    skip: "Bun" in globalThis ? postgres.skip : "Bun.SQL comes with Bun only",
    driver: ({ host: hostname, port, user: username, password, database }, options) => {
      const { host = hostname, ...rest } = options ?? {};
      return bunSqlDriver({ hostname: host, port, username, password, database, ...rest });
    },
  },
  {
    name: "mysql2",
    dialect: "mysql",
    kind: mysql,
    skip: mysql.skip,
    driver: ({ host, port, user, password, database }, options) =>
      mysql2Driver(mariadb, { host, port, user, password, database, ...options }),
  },
];

/** A driver's name, for what is a parameter in its SQL. */
export function placeholder(dialect: "postgres" | "mysql", n: number): string {
  return dialect === "postgres" ? `$${n}` : "?";
}
