/** MySQL's and MariaDB's dialect of transactions, and what their errors mean. */
import { checkBoolean, checkChoice } from "../../kernel/checks.ts";
import type { Failure, FailureKind, TwoPhase, TxModes, Violation } from "../driver.ts";

const levels = {
  "read committed": "READ COMMITTED",
  "repeatable read": "REPEATABLE READ",
  "serializable": "SERIALIZABLE",
} as const;

/** The level is a setting for the next transaction: if that then does not begin, the connection must not be used again. */
export function begin({ isolation, readOnly, server }: TxModes): readonly string[] {
  if (server !== undefined) {
    throw new RangeError(
      "Cannot begin transaction as server must be left out: MySQL has no limits for one transaction",
    );
  }
  checkBoolean("begin transaction", "readOnly", readOnly);
  const start = readOnly ? "START TRANSACTION READ ONLY" : "START TRANSACTION";
  if (isolation === undefined) return [start];
  checkChoice("begin transaction", "isolation", isolation, Object.keys(levels));
  return [`SET TRANSACTION ISOLATION LEVEL ${levels[isolation]}`, start];
}

/** XA, with the group's name as the global part of the id. */
export const twoPhase: TwoPhase = {
  begin(gid, modes) {
    if (modes.readOnly) {
      throw new RangeError(
        "Cannot begin transaction as readOnly must be false with two phases: received true",
      );
    }
    return [...begin(modes).slice(0, -1), `XA START '${gid}'`];
  },
  prepare: (gid) => [`XA END '${gid}'`, `XA PREPARE '${gid}'`],
  commit: (gid) => `XA COMMIT '${gid}'`,
  rollback: (gid) => `XA ROLLBACK '${gid}'`,
  list: "XA RECOVER",
  gidOf: ({ data }) => String(data),
  // XAER_NOTA
  isMissing: (error) => error instanceof Error && (error as { state?: unknown }).state === "XAE04",
};

const kinds: ReadonlyMap<number, FailureKind> = new Map(
  Object.entries(
    {
      connection: [1040, 1053, 1152, 1153, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 2006, 2013],
      conflict: [1020, 1213],
      lockTimeout: [1205, 3572],
      statementTimeout: [1317, 1969, 3024],
      readOnly: [1290, 1792, 1836],
      access: [1044, 1045, 1049, 1142, 1143, 1227],
      storage: [1021, 1037, 1041, 1114, 1194, 1195],
      constraint: [1048, 1062, 1216, 1217, 1364, 1451, 1452, 1586, 3819, 4025],
    } satisfies Partial<Record<FailureKind, readonly number[]>>,
  ).flatMap(([kind, codes]) => codes.map((code) => [code, kind as FailureKind] as const)),
);

/** After these the connection is gone. */
const ending = new Set([1053, 1927, 2006, 2013]);
/** Tells a deadlock, after which the whole transaction is gone, from a lock that took too long, after which it is not. */
const DEADLOCK = 1213;

const rules: ReadonlyMap<number, Violation["kind"]> = new Map([
  [1048, "notNull"],
  [1062, "unique"],
  [1216, "foreignKey"],
  [1217, "foreignKey"],
  [1364, "notNull"],
  [1451, "foreignKey"],
  [1452, "foreignKey"],
  [1586, "unique"],
  [3819, "check"],
  [4025, "check"],
]);

/** Says what an error of the server, the socket or the driver is. */
export function classify(error: unknown): Failure {
  if (!(error instanceof Error)) return { kind: "other", lost: false, txGone: false };
  const { errno, code, sqlState, fatal, message, name } = error as Error & Record<string, unknown>;
  const number = typeof errno === "number" ? errno : 0;
  const isOurs = typeof sqlState === "string" && number >= 1000;
  if (!isOurs) {
    const text = typeof code === "string" ? code : "";
    if (text === "ENOTFOUND") return { kind: "access", state: text, lost: true, txGone: true };
    if (
      fatal === true || /^(?:PROTOCOL_|E[A-Z]{3,}$)/.test(text) ||
      /closed state|closed connection/.test(message)
    ) {
      return { kind: "connection", state: text || undefined, lost: true, txGone: true };
    }
    const usage = name === "TypeError" || name === "RangeError";
    return { kind: usage ? "usage" : "other", lost: false, txGone: false };
  }
  const state = sqlState as string;
  const lost = ending.has(number) || (fatal === true && kinds.get(number) === undefined);
  const kind = kinds.get(number) ?? (/^(?:42|22|21|HY)/.test(state) ? "statement" : "other");
  const failure: Failure = { kind, state, lost, txGone: lost || number === DEADLOCK };
  if (kind !== "constraint") return failure;
  return { ...failure, violation: violationOf(rules.get(number) ?? "other", message) };
}

function violationOf(kind: Violation["kind"], message: string): Violation {
  const [, key] = /for key '(?:[^'.]*\.)?([^']+)'/.exec(message) ?? [];
  const [, constraint] = /CONSTRAINT `([^`]+)`/i.exec(message) ?? [];
  const [, column] = /(?:Column|Field) '([^']+)'/.exec(message) ?? [];
  const [, table] = /(?:fails \(|failed for )`[^`]+`\.`([^`]+)`/.exec(message) ?? [];
  return { kind, constraint: constraint ?? key ?? column, table };
}
