/** What SQLite's adapters have in common: its dialect of transactions, and what its errors mean. */
import { checkBoolean, checkChoice, show } from "../../kernel/checks.ts";
import type { Failure, FailureKind, TxModes, Violation } from "../driver.ts";

/** Sent after BEGIN by read-only transactions: SQLite has no BEGIN READ ONLY. */
export const READ_ONLY = "PRAGMA query_only = ON";

const BEGIN_READ = ["BEGIN", READ_ONLY];
// IMMEDIATE takes the write lock at once. A transaction that reads first and writes later would fail at the write
// whenever somebody else wrote in between, without waiting (SQLITE_BUSY_SNAPSHOT).
const BEGIN_WRITE = ["BEGIN IMMEDIATE"];

/** SQLite isolates serialisably, always; the weaker levels are satisfied by that. */
export function begin({ isolation, readOnly, server }: TxModes): readonly string[] {
  if (server !== undefined) {
    throw new RangeError(
      "Cannot begin transaction as server must be left out: SQLite has no limits for one transaction",
    );
  }
  checkBoolean("begin transaction", "readOnly", readOnly);
  if (isolation !== undefined) {
    checkChoice("begin transaction", "isolation", isolation, [
      "read committed",
      "repeatable read",
      "serializable",
    ]);
  }
  return readOnly ? BEGIN_READ : BEGIN_WRITE;
}

/** The first word of a statement in capitals, past blanks and comments. */
export function commandOf(sql: string): string {
  return /^(?:\s|;|--[^\n]*\n|\/\*[^]*?\*\/)*(\w+)/.exec(sql)?.[1]?.toUpperCase() ?? "";
}

const changing = new Set(["INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"]);
const harmless = new Set([...changing, "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA"]);

/** Whether a statement that begins so changes rows, if it returns none. */
export function changesRows(command: string): boolean {
  return changing.has(command);
}

/** Whether a statement that begins so may change the schema. */
export function mayChangeSchema(command: string): boolean {
  return !harmless.has(command);
}

/** Whether `text`, the rest behind a statement, holds another one. */
export function holdsStatement(text: string): boolean {
  return /[^\s;]/.test(text.replaceAll(/--[^\n]*|\/\*[^]*?(?:\*\/|$)/g, ""));
}

const kinds = new Map<number, FailureKind>([
  [1, "statement"],
  [3, "access"],
  [5, "conflict"],
  [6, "conflict"],
  [8, "readOnly"],
  [9, "interrupted"],
  [10, "storage"],
  [11, "storage"],
  [13, "storage"],
  [14, "access"],
  [19, "constraint"],
  [23, "access"],
  [25, "usage"],
  [26, "storage"],
]);

/** Texts of codes, for errors that carry none: Deno's on opening and on `exec`. */
const texts: readonly (readonly [RegExp, number])[] = [
  [/^database is locked/, 5],
  [/^database table is locked/, 6],
  [/^attempt to write a readonly database/, 8],
  [/^disk I\/O error/, 10],
  [/^database disk image is malformed/, 11],
  [/^database or disk is full/, 13],
  [/^unable to open database file/, 14],
  [/constraint failed/, 19],
  [/^authorization denied|^access permission denied/, 23],
  [/^file is not a database/, 26],
];

/** Says what an error of SQLite is. */
export function classify(error: unknown): Failure {
  if (!(error instanceof Error)) return { kind: "other", lost: false, txGone: false };
  const { message } = error;
  const code = codeOf(error) ?? texts.find(([text]) => text.test(message))?.[1];
  if (code === undefined) {
    // By name: the sandboxes of test runners have classes of their own.
    const lost = /database (?:connection )?is not open|statement has been finalized|^Database has closed/
      .test(message);
    const usage = error.name === "TypeError" || error.name === "RangeError";
    return { kind: lost ? "connection" : usage ? "usage" : "other", lost, txGone: lost };
  }
  const kind = kinds.get(code & 0xff) ?? "other";
  const failure = { kind, state: String(code), lost: false, txGone: false };
  return kind === "constraint" ? { ...failure, violation: violationOf(message) } : failure;
}

/** By the name that `node:sqlite` gives it, or `bun:sqlite`. */
function codeOf(error: Error & { errcode?: unknown; errno?: unknown }): number | undefined {
  const code = error.errcode ?? (error.name === "SQLiteError" ? error.errno : undefined);
  return typeof code === "number" ? code : undefined;
}

const rules = new Map<string, Violation["kind"]>([
  ["UNIQUE", "unique"],
  ["FOREIGN KEY", "foreignKey"],
  ["NOT NULL", "notNull"],
  ["CHECK", "check"],
]);

function violationOf(message: string): Violation {
  const [, rule = "", constraint] = /^([A-Z ]+) constraint failed(?:: (.+))?$/.exec(message) ?? [];
  const kind = rules.get(rule) ?? "other";
  const table = kind === "unique" || kind === "notNull" ? /^(\w+)\./.exec(constraint ?? "")?.[1] : undefined;
  return { kind, constraint, table };
}

/** Refuses what the runtimes bind each in their own way: a Date, for one, as NULL. */
export function bindable(params: readonly unknown[]): readonly unknown[] {
  let values = params;
  for (let i = 0; i < params.length; i++) {
    const value = params[i];
    const type = typeof value;
    if (type === "string" || value === null || value instanceof Uint8Array) continue;
    if (type === "number") {
      // Some runtimes make an INTEGER of a whole number, others a REAL: 5 / 2 would be 2 here and 2.5 there.
      if (!Number.isSafeInteger(value)) continue;
      if (values === params) values = [...params];
      (values as unknown[])[i] = BigInt(value as number);
      continue;
    }
    if (type === "bigint") {
      if (BigInt.asIntN(64, value as bigint) === value) continue;
      throw new RangeError(
        `Cannot bind parameter ${i + 1} as bigints must fit in 64 bits: received ${value}`,
      );
    }
    if (type !== "boolean") {
      const kind = type === "object" ? value!.constructor?.name ?? "object" : type;
      throw new TypeError(
        `Cannot bind parameter ${
          i + 1
        } as it must be null, a number, bigint, string, boolean or Uint8Array: ` +
          `received ${kind}${Array.isArray(value) ? ", for which there is sql.list" : ""}`,
      );
    }
    if (values === params) values = [...params];
    (values as unknown[])[i] = value ? 1 : 0;
  }
  return values;
}

/** The statements that make settings. */
export function pragmas(doing: string, settings: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(settings).map(([name, value]) => {
    // They go into the text of a statement: nothing but words and numbers may.
    const proper = ["string", "number", "boolean"].includes(typeof value) && !Number.isNaN(value);
    if (!proper || !/^\w+$/.test(name) || !/^[\w-]+$/.test(String(value))) {
      throw new RangeError(
        `Cannot ${doing} as pragmas must be plain words: received ${name} = ${proper ? value : show(value)}`,
      );
    }
    return `PRAGMA ${name} = ${value}`;
  });
}
