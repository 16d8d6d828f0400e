/** What PostgreSQL's adapters have in common: its dialect of transactions, and what its errors mean. */
import { checkBoolean, checkChoice, checkInteger, checkOptions } from "../../kernel/checks.ts";
import type { Failure, FailureKind, SnapshotSharing, TwoPhase, TxModes, Violation } from "../driver.ts";

const levels = {
  "read committed": "READ COMMITTED",
  "repeatable read": "REPEATABLE READ",
  "serializable": "SERIALIZABLE",
} as const;

/** Asks for the number that a transaction gets with its first write, and what became of it. Since PostgreSQL 13. */
export const commitCheck = {
  token: "select pg_current_xact_id_if_assigned()::text as token",
  status: "select pg_xact_status($1::text::xid8) as status",
} as const;

/**
 * Forgets what a session has set or holds, one statement after another. As DISCARD ALL, but for its prepared statements
 * and plans: they are what makes a connection worth keeping.
 */
export const RESET =
  "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); " +
  "DISCARD TEMP; DISCARD SEQUENCES";

const limits = {
  statementTimeoutMs: "statement_timeout",
  lockTimeoutMs: "lock_timeout",
  idleTimeoutMs: "idle_in_transaction_session_timeout",
} as const;

/** One statement, whatever the modes; another one for limits. */
export function begin({ isolation, readOnly, server }: TxModes): readonly string[] {
  checkBoolean("begin transaction", "readOnly", readOnly);
  let sql = "BEGIN";
  if (isolation !== undefined) {
    checkChoice("begin transaction", "isolation", isolation, Object.keys(levels));
    sql += ` ISOLATION LEVEL ${levels[isolation]}`;
  }
  if (readOnly) sql += " READ ONLY";
  if (server === undefined) return [sql];
  checkOptions("begin transaction as server", server ?? null);
  const settings = Object.entries(limits).flatMap(([option, name]) => {
    const ms = server[option as keyof typeof limits];
    if (ms === undefined) return [];
    checkInteger("begin transaction", `server.${option}`, ms, 1, 2 ** 31 - 1);
    return [`set_config('${name}', '${ms}', true)`];
  });
  return settings.length === 0 ? [sql] : [sql, `SELECT ${settings.join(", ")}`];
}

/** PREPARE TRANSACTION and what ends it. Needs `max_prepared_transactions` > 0 on the server. */
export const twoPhase: TwoPhase = {
  prepare: (gid) => [`PREPARE TRANSACTION '${gid}'`],
  commit: (gid) => `COMMIT PREPARED '${gid}'`,
  rollback: (gid) => `ROLLBACK PREPARED '${gid}'`,
  list: "select gid from pg_prepared_xacts where database = current_database() order by prepared",
  isMissing: (error) => error instanceof Error && (error as { state?: unknown }).state === "42704",
};

/** A snapshot is exported by one transaction, and taken over by others. */
export const snapshot: SnapshotSharing = {
  take: "select pg_export_snapshot() as snapshot",
  use(snapshot) {
    if (!/^[0-9A-Fa-f-]+$/.test(snapshot)) {
      throw new TypeError(`Cannot use snapshot as it must be one of PostgreSQL: received ${snapshot}`);
    }
    return `SET TRANSACTION SNAPSHOT '${snapshot}'`;
  },
};

/** What a driver of PostgreSQL says of it, whichever package it is through. */
export const postgres = { dialect: "postgres", begin, commitCheck, twoPhase } as const;

/** What an error of PostgreSQL carries, by the names that most drivers give it. */
export interface PostgresErrorFields {
  readonly state: string;
  readonly constraint?: string;
  readonly table?: string;
  readonly column?: string;
}

/** SQLSTATEs, by the longest prefix that is listed. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const kinds: Readonly<Record<string, FailureKind>> = {
  "08": "connection",
  "08007": "ambiguous",
  "08P01": "statement",
  "22": "statement",
  "23": "constraint",
  "25006": "readOnly",
  "25P03": "connection",
  "26": "statement",
  "28": "access",
  "34": "statement",
  "3D": "access",
  "3F": "statement",
  "40": "conflict",
  "40002": "constraint",
  "40003": "ambiguous",
  "42": "statement",
  "42501": "access",
  "53": "storage",
  "53300": "connection",
  "54": "statement",
  "55P03": "lockTimeout",
  "57014": "statementTimeout",
  "57P": "connection",
  "57P04": "access",
  "58": "storage",
  "XX001": "storage",
  "XX002": "storage",
};

/**
 * After these the server has closed the connection. Not after 08P01, with which it answers a wrong number of values, or a
 * character that no text may hold.
 */
const ending = /^(?:08(?!P01)|57P0[125]|25P0[34])/;

const rules: Readonly<Record<string, Violation["kind"]>> = {
  "23502": "notNull",
  "23503": "foreignKey",
  "23505": "unique",
  "23514": "check",
  "23P01": "exclusion",
};

/** Says what an error with an SQLSTATE is. */
export function classifyState({ state, constraint, table, column }: PostgresErrorFields): Failure {
  const kind = kinds[state] ?? kinds[state.slice(0, 3)] ?? kinds[state.slice(0, 2)] ?? "other";
  const lost = ending.test(state);
  const failure: Failure = { kind, state, lost, txGone: lost };
  if (kind !== "constraint") return failure;
  // A missing value has no name but that of its column.
  return {
    ...failure,
    violation: { kind: rules[state] ?? "other", constraint: constraint ?? column, table },
  };
}

/** What an error is that the server did not send: made by the socket, the driver, or a wrong call. */
export function classifyOther(error: unknown, isLost: (code: string, message: string) => boolean): Failure {
  if (!(error instanceof Error)) return { kind: "other", lost: false, txGone: false };
  const { code, message, name } = error as Error & { code?: unknown };
  const text = typeof code === "string" ? code : "";
  if (text === "ENOTFOUND") return { kind: "access", state: text, lost: true, txGone: true };
  if (socketCodes.test(text) || isLost(text, message)) {
    return { kind: "connection", state: text || undefined, lost: true, txGone: true };
  }
  // By name: the sandboxes of test runners have classes of their own.
  const usage = name === "TypeError" || name === "RangeError";
  return { kind: usage ? "usage" : "other", lost: false, txGone: false };
}

const socketCodes =
  /^E(?:CONNREFUSED|CONNRESET|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|AI_AGAIN|CONNABORTED|NOTCONN)$/;

/**
 * Whether a transaction is open, known from what was done.
 *
 * For drivers that do not pass on what the server says of it. Exact as long as each text is one statement: nothing but a
 * statement of its own can begin or end a transaction in PostgreSQL.
 */
export class TransactionTracker {
  open = false;

  /** Notes what becomes of a statement. */
  async follow<T>(sql: string, answer: Promise<T>): Promise<T> {
    try {
      const result = await answer;
      this.succeeded(sql);
      return result;
    } catch (error) {
      this.failed(sql);
      throw error;
    }
  }

  /** Notes a statement that succeeded. */
  succeeded(sql: string): void {
    const text = beginning(sql);
    if (/^(?:BEGIN|START\s+TRANSACTION)\b/i.test(text)) this.open = true;
    else if (ENDS.test(text)) {
      const stays = /^ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b|^(?:COMMIT|ROLLBACK)\s+PREPARED\b/i.test(
        text,
      );
      if (!stays) this.open = /\bAND\s+CHAIN\b/i.test(text);
    }
  }

  /** Notes a statement that failed: a COMMIT that does has rolled back. */
  failed(sql: string): void {
    if (/^(?:COMMIT|END|PREPARE\s+TRANSACTION)\b/i.test(beginning(sql))) this.open = false;
  }
}

const ENDS = /^(?:COMMIT|END|ROLLBACK|ABORT|PREPARE\s+TRANSACTION)\b/i;

/**
 * Refuses a COPY over the line: the rows would go where nobody gives or takes them, and the packages differ in what is left
 * of the connection then.
 *
 * @throws {TypeError} For one; in doubt, as with unusual quotes, too.
 */
export function refuseCopy(sql: string): void {
  if (!/copy/i.test(sql)) return;
  const text = beginning(sql);
  if (!/^COPY\b/i.test(text)) return;
  // Where quotes end is only plain as long as nothing else could hold one.
  const bare = /\\'|\$|--|\/\*/.test(text) ? text : text.replace(/'[^']*'|"[^"]*"/g, " ");
  if (!/\bSTD(?:IN|OUT)\b/i.test(bare)) return;
  throw new TypeError(
    "Cannot run COPY as it must be from or to a file of the server: received one from STDIN or to STDOUT",
  );
}

/** A statement from its first word on, without comments as far as they could stand between its first words. */
function beginning(sql: string): string {
  return withoutComments(sql).replace(/^[\s;]+/, "");
}

/** A text without its comments, up to the first quote: behind that they may be none. */
function withoutComments(sql: string): string {
  if (!/--|\/\*/.test(sql)) return sql;
  let text = "";
  for (let at = 0;;) {
    const mark = /--[^\n]*|\/\*|['"$]/.exec(sql.slice(at));
    if (mark === null || /^['"$]/.test(mark[0])) return text + sql.slice(at);
    text += `${sql.slice(at, at + mark.index)} `;
    at += mark.index + mark[0].length;
    // They nest in PostgreSQL.
    for (let depth = mark[0] === "/*" ? 1 : 0; depth > 0;) {
      const inner = /\/\*|\*\//.exec(sql.slice(at));
      if (inner === null) return text;
      depth += inner[0] === "/*" ? 1 : -1;
      at += inner.index + 2;
    }
  }
}

/**
 * Where another statement may begin, in a text of PostgreSQL: behind a semicolon that is not quoted. Words come first, as
 * they may hold a `$`.
 */
const PARTS =
  /'(?:[^']|'')*'|"[^"]*"|--[^\n]*|\/\*|[A-Za-z_\x80-\uffff][\w$\x80-\uffff]*|\$((?:[A-Za-z_\x80-\uffff][\w\x80-\uffff]*)?)\$|;/g;

/** Whether a text holds more than one statement; in doubt, as with unusual quotes, yes. */
export function holdsSeveral(sql: string): boolean {
  const text = beginning(sql);
  // Where a backslash keeps a quote from ending depends on the kind of string.
  if (/\\'[^]*;\s*\S/.test(text)) return true;
  PARTS.lastIndex = 0;
  for (let match = PARTS.exec(text); match !== null; match = PARTS.exec(text)) {
    const [part, tag] = match;
    if (part === ";") return beginning(text.slice(PARTS.lastIndex)) !== "";
    const end = part === "/*" ? "*/" : tag === undefined ? undefined : `$${tag}$`;
    if (end === undefined) continue;
    const at = text.indexOf(end, PARTS.lastIndex);
    if (at < 0) return false;
    PARTS.lastIndex = at + end.length;
  }
  return false;
}

/** Where a driver's options lead to, without what is secret. */
export function targetOf(options: object): string | undefined {
  const { connectionString, url, host, hostname, path, port, database } = options as Readonly<
    Record<string, unknown>
  >;
  const address = connectionString ?? url;
  if (address !== undefined) {
    if (!URL.canParse(String(address))) return undefined;
    const { host, pathname } = new URL(String(address));
    return host + pathname;
  }
  const place = host ?? hostname ?? path;
  if (place === undefined && database === undefined) return undefined;
  return `${place ?? "localhost"}${port === undefined ? "" : `:${port}`}/${database ?? ""}`;
}
