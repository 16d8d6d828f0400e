/** What PostgreSQL's adapters have in common: its dialect of transactions, and what its errors mean. */
import { checkBoolean, checkChoice, checkInteger, checkOptions } from "../../kernel/checks.ts";
import type { Failure, FailureKind, TwoPhase, TxModes, Violation } from "../driver.ts";

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

/** After these the server has closed the connection. */
const ending = /^(?:08|57P0[125]|25P0[34])/;

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

  /** Notes a statement that succeeded. */
  succeeded(sql: string): void {
    const word = firstWords(sql);
    if (/^(?:BEGIN|START TRANSACTION)\b/.test(word)) this.open = true;
    else if (/^(?:COMMIT|END|ROLLBACK|ABORT|PREPARE TRANSACTION)\b/.test(word)) {
      const stays = /^ROLLBACK (?:(?:WORK|TRANSACTION) )?TO\b|^(?:COMMIT|ROLLBACK) PREPARED\b/.test(word);
      if (!stays) this.open = /\bAND CHAIN\b/.test(word) && !/\bNO CHAIN\b/.test(word);
    }
  }

  /** Notes a statement that failed: a COMMIT that does has rolled back. */
  failed(sql: string): void {
    if (/^(?:COMMIT|END|PREPARE TRANSACTION)\b/.test(firstWords(sql))) this.open = false;
  }
}

/** The first words of a statement, in capitals and with one blank between them. */
function firstWords(sql: string): string {
  return withoutComments(sql).trim().slice(0, 80).toUpperCase().replaceAll(/\s+/g, " ");
}

function withoutComments(sql: string): string {
  let rest = sql;
  for (;;) {
    const lead = /^(?:[\s;]+|--[^\n]*(?:\n|$))+/.exec(rest)?.[0] ?? "";
    rest = rest.slice(lead.length);
    if (!rest.startsWith("/*")) return rest.replaceAll(/\/\*[^*]*\*\/|--[^\n]*/g, " ");
    // They nest in PostgreSQL.
    let depth = 0;
    const ends = /\/\*|\*\//g;
    let at = rest.length;
    for (const { 0: mark, index } of rest.matchAll(ends)) {
      depth += mark === "/*" ? 1 : -1;
      if (depth > 0) continue;
      at = index + 2;
      break;
    }
    rest = rest.slice(at);
  }
}

/** Where another statement may begin, in a text of PostgreSQL: behind a semicolon that is not quoted. */
const PARTS = /'(?:[^']|'')*'|"[^"]*"|--[^\n]*|\/\*|\$(\w*)\$|;/g;

/** Whether a text holds more than one statement; in doubt, as with unusual quotes, yes. */
export function holdsSeveral(sql: string): boolean {
  PARTS.lastIndex = 0;
  for (let match = PARTS.exec(sql); match !== null; match = PARTS.exec(sql)) {
    const [part, tag] = match;
    if (part === ";") return withoutComments(sql.slice(PARTS.lastIndex)) !== "";
    const end = part === "/*" ? "*/" : tag === undefined ? undefined : `$${tag}$`;
    if (end === undefined) continue;
    const at = sql.indexOf(end, PARTS.lastIndex);
    if (at < 0) return false;
    PARTS.lastIndex = at + end.length;
  }
  return false;
}

/** Where a driver's options lead to, without what is secret. */
export function targetOf(options: Readonly<Record<string, unknown>>): string | undefined {
  const { connectionString, url, host, hostname, path, port, database } = options;
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
