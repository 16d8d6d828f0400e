/** 100 callers at once, each with one statement after another, on 10 connections. */
import { pgDriver } from "../../../src/database/adapters/pg.ts";
import { Database } from "../../../src/database/database.ts";
import type { Entry, Rival, Row } from "../_rows.ts";
import { postgres } from "./_postgres.ts";

const CALLERS = 100;
const SELECT = "select $1::int + 1 as next";

type Next = (n: number) => Promise<{ readonly rows: readonly Record<string, unknown>[] }>;

function callers(name: string, make: () => Promise<Next>): Rival<Entry> {
  return {
    name,
    async make() {
      const next = await make();
      return {
        waits: true,
        async check() {
          const answers = await Promise.all(Array.from({ length: CALLERS }, (_, i) => next(i)));
          if (answers.some(({ rows }, i) => rows[0]?.next !== i + 1)) throw new Error("a wrong answer");
          return next;
        },
        async run(_, size) {
          await Promise.all(Array.from({ length: CALLERS }, async () => {
            for (let i = 0; i < size / CALLERS; i++) await next(i);
          }));
        },
      };
    },
  };
}

export const rows: readonly Row[] = [
  {
    name: "database: 100 callers on 10 connections, pg",
    kind: "time",
    size: 4_000,
    unit: CALLERS,
    rivals: [
      callers("pg.Pool", async () => {
        const { pg, config } = await postgres();
        const pool = new pg.Pool({ ...config, max: 10 });
        return (n) => pool.query(SELECT, [n]);
      }),
      callers("@uno/async", async () => {
        const { pg, config } = await postgres();
        const db = new Database(pgDriver(pg as never, config), { max: 10 });
        return (n) => db.query(SELECT, [n]);
      }),
    ],
  },
];
