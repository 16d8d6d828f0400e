/** The name and the limits of a database. */
import { checkDurationMs, checkFunction, checkName, checkOptions } from "../kernel/checks.ts";
import type { VerifyCommit } from "./commit_check.ts";

/** Options of a {@linkcode Database}; all limits in milliseconds. */
export interface DatabaseOptions {
  /** Appears in messages, statistics and observer records. */
  name?: string;
  /** How long a caller waits for a session, unless it says so itself. Default 30,000. */
  acquireTimeoutMs?: number;
  /**
   * How long the lock of another connection or process is waited for, at the beginning of a transaction and while
   * connecting, by coming back for it; nothing is blocked meanwhile. Default 5,000.
   */
  lockTimeoutMs?: number;
  /** How long COMMIT may go unanswered before its outcome counts as unknown; finite. Default 30,000. */
  commitTimeoutMs?: number;
  /** Whether transactions find out what became of a COMMIT that was not answered, and how. Default false. */
  verifyCommit?: boolean | VerifyCommit;
  /** How long ROLLBACK may take before the connection is destroyed instead; finite. Default 5,000. */
  rollbackTimeoutMs?: number;
  /** How long a cancelled statement may take to end before its connection is destroyed; finite. Default 1,000. */
  cancelGraceMs?: number;
}

/** {@linkcode DatabaseOptions}, complete. */
export type DatabaseSettings =
  & Readonly<Required<Omit<DatabaseOptions, "name">>>
  & { readonly name: string | undefined };

/** Checks the options and completes them. */
export function settingsOf(options: DatabaseOptions): DatabaseSettings {
  const doing = "create database";
  checkOptions(doing, options ?? null);
  const { name, acquireTimeoutMs = 30_000, lockTimeoutMs = 5_000, commitTimeoutMs = 30_000 } = options;
  const { rollbackTimeoutMs = 5_000, cancelGraceMs = 1_000, verifyCommit = false } = options;
  checkName(doing, name);
  checkDurationMs(doing, "acquireTimeoutMs", acquireTimeoutMs);
  checkDurationMs(doing, "lockTimeoutMs", lockTimeoutMs);
  checkFiniteMs(doing, "commitTimeoutMs", commitTimeoutMs);
  checkFiniteMs(doing, "rollbackTimeoutMs", rollbackTimeoutMs);
  checkFiniteMs(doing, "cancelGraceMs", cancelGraceMs);
  if (typeof verifyCommit !== "boolean") checkFunction(doing, "verifyCommit", verifyCommit);
  return {
    verifyCommit,
    name,
    acquireTimeoutMs,
    lockTimeoutMs,
    commitTimeoutMs,
    rollbackTimeoutMs,
    cancelGraceMs,
  };
}

/** Throws unless `value` is a number of milliseconds that comes to an end. */
export function checkFiniteMs(doing: string, what: string, value: unknown): void {
  checkDurationMs(doing, what, value);
  if (value === Infinity) {
    throw new RangeError(`Cannot ${doing} as ${what} must be finite: received Infinity`);
  }
}
