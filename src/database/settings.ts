/** The name, the size and the limits of a database. */
import type { BackoffOptions } from "../kernel/backoff.ts";
import {
  checkBoolean,
  checkCount,
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkName,
  checkOptions,
} from "../kernel/checks.ts";
import type { Driver } from "./driver.ts";
import type { ContextCarrier } from "./context_carrier.ts";
import type { VerifyCommit } from "./verify_commit.ts";

/** How connections are opened. */
export interface ConnectOptions {
  /**
   * How often in a row opening a connection may fail before those who wait for one are told. Default `Infinity`: they
   * wait as long as they can. What will not pass by waiting, such as a wrong password, they are told at once.
   */
  attempts?: number | undefined;
  /** How long one attempt may take, in milliseconds. Default 10,000. */
  attemptTimeoutMs?: number | undefined;
  /** The pauses between attempts. Default: exponential from 50 to 5,000 ms, full jitter. */
  backoff?: BackoffOptions | undefined;
}

/** Options of a {@linkcode Database}; all limits in milliseconds. */
export interface DatabaseOptions {
  /** Appears in messages, statistics and observer records. */
  name?: string | undefined;
  /** How many connections there may be. Default 10, or what the driver can have: 1 for an engine inside the process. */
  max?: number | undefined;
  /** How many connections are kept open. Default 0. */
  min?: number | undefined;
  /** How connections are opened. */
  connect?: ConnectOptions | undefined;
  /** How long a caller waits for a session, unless it says so itself. Default 30,000. */
  acquireTimeoutMs?: number | undefined;
  /** How many callers may wait for a session; a further one is refused. Default `Infinity`. */
  maxWaiters?: number | undefined;
  /** How long a connection that nobody uses stays open. Default 60,000; inside the process `Infinity`. */
  idleTimeoutMs?: number | undefined;
  /** How old a connection may become, less a random tenth. Default 1,800,000; inside the process `Infinity`. */
  maxLifetimeMs?: number | undefined;
  /** For how long a connection counts as good after it was used; after that it is asked first. Default 1,000. */
  freshMs?: number | undefined;
  /** After how long a session that was not given back is reported, with where it was taken. Default `Infinity`: never. */
  leakAfterMs?: number | undefined;
  /**
   * Whether the settings of a session are reset when it is given back: roles, variables, temporary tables. Default false,
   * which is right as long as nobody makes any.
   */
  reset?: boolean | undefined;
  /**
   * How long the lock of another connection or process is waited for, at the beginning of a transaction and while
   * connecting, by coming back for it; nothing is blocked meanwhile. Default 5,000.
   */
  lockTimeoutMs?: number | undefined;
  /** How long COMMIT may go unanswered before its outcome counts as unknown; finite. Default 30,000. */
  commitTimeoutMs?: number | undefined;
  /** Whether transactions find out what became of a COMMIT that was not answered, and how. Default false. */
  verifyCommit?: boolean | VerifyCommit | undefined;
  /**
   * What carries transactions along, for code further in to find and join: `new AsyncLocalStorage()`. Without, transactions
   * are only where they are handed to.
   */
  context?: ContextCarrier | undefined;
  /** How long ROLLBACK may take before the connection is destroyed instead; finite. Default 5,000. */
  rollbackTimeoutMs?: number | undefined;
  /** How long a cancelled statement may take to end before its connection is destroyed; finite. Default 1,000. */
  cancelGraceMs?: number | undefined;
}

/** {@linkcode DatabaseOptions}, complete. */
export type DatabaseSettings =
  & Readonly<Required<Omit<DatabaseOptions, "name" | "connect" | "context">>>
  & Readonly<Required<Omit<ConnectOptions, "attempts">>>
  & { readonly name: string | undefined; readonly connectAttempts: number; readonly driver: Driver };

const databases = new WeakMap<DatabaseSettings, object>();
const settingsOfAll = new WeakMap<object, DatabaseSettings>();

/** Notes whose they are. */
export function noteDatabase(settings: DatabaseSettings, database: object): void {
  databases.set(settings, database);
  settingsOfAll.set(database, settings);
}

/** Those of a `Database`. */
export function settingsIn(database: object): DatabaseSettings | undefined {
  return settingsOfAll.get(database);
}

/** The `Database` whose they are. */
export function databaseOf(settings: DatabaseSettings): object | undefined {
  return databases.get(settings);
}

/** Checks the options and completes them. */
export function settingsOf(driver: Driver, options: DatabaseOptions): DatabaseSettings {
  const doing = "create database";
  checkOptions(doing, options ?? null);
  checkName(doing, options.name);
  const { maxSessions } = driver;
  // An engine inside the process has one connection, which never goes bad, and may be all there is of the database.
  const isInside = maxSessions === 1;
  const duration = (name: keyof DatabaseOptions, or: number): number => {
    const value = options[name] ?? or;
    checkDurationMs(doing, name, value);
    return value as number;
  };
  const finite = (name: keyof DatabaseOptions, or: number): number => {
    const value = options[name] ?? or;
    checkFiniteMs(doing, name, value);
    return value as number;
  };
  const { max = maxSessions ?? 10, min = 0, maxWaiters = Infinity, reset = false, verifyCommit = false } =
    options;
  checkInteger(doing, "max", max, 1, maxSessions);
  checkInteger(doing, "min", min, 0, max);
  checkCount(doing, "maxWaiters", maxWaiters, 0);
  checkBoolean(doing, "reset", reset);
  if (reset && driver.resets === false) {
    throw new RangeError(`Cannot ${doing} as reset must be false with ${driver.name}: received true`);
  }
  checkVerifyCommit(doing, verifyCommit, driver);
  if (options.context !== undefined) {
    checkFunction(doing, "context.run", options.context?.run);
    checkFunction(doing, "context.getStore", options.context.getStore);
  }
  checkOptions(`${doing} as connect`, options.connect);
  const { attempts = Infinity, attemptTimeoutMs = 10_000, backoff = BACKOFF } = options.connect ?? {};
  checkCount(doing, "connect.attempts", attempts, 1);
  checkDurationMs(doing, "connect.attemptTimeoutMs", attemptTimeoutMs);
  return {
    name: options.name,
    driver,
    max,
    min,
    connectAttempts: attempts,
    attemptTimeoutMs,
    backoff,
    maxWaiters,
    reset,
    verifyCommit,
    acquireTimeoutMs: duration("acquireTimeoutMs", 30_000),
    idleTimeoutMs: duration("idleTimeoutMs", isInside ? Infinity : 60_000),
    maxLifetimeMs: duration("maxLifetimeMs", isInside ? Infinity : 1_800_000),
    freshMs: duration("freshMs", 1_000),
    leakAfterMs: duration("leakAfterMs", Infinity),
    lockTimeoutMs: duration("lockTimeoutMs", 5_000),
    commitTimeoutMs: finite("commitTimeoutMs", 30_000),
    rollbackTimeoutMs: finite("rollbackTimeoutMs", 5_000),
    cancelGraceMs: finite("cancelGraceMs", 1_000),
  };
}

const BACKOFF: BackoffOptions = { kind: "exponential", baseMs: 50, maxMs: 5_000, jitter: "full" };

/** Throws unless `value` is a number of milliseconds that comes to an end. */
export function checkFiniteMs(doing: string, what: string, value: unknown): void {
  checkDurationMs(doing, what, value);
  if (value === Infinity) {
    throw new RangeError(`Cannot ${doing} as ${what} must be finite: received Infinity`);
  }
}

/** Throws unless `value` says how to find out what became of a COMMIT, in a way that the driver has. */
export function checkVerifyCommit(doing: string, value: unknown, driver: Driver): void {
  if (typeof value !== "boolean") return checkFunction(doing, "verifyCommit", value);
  if (!value || driver.commitCheck !== undefined) return;
  throw new RangeError(
    `Cannot ${doing} as verifyCommit must be a function with ${driver.name}: received true`,
  );
}
