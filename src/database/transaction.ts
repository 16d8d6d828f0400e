import { abortable } from "../cancel/abortable.ts";
import { sleep } from "../cancel/sleep.ts";
import { timeout } from "../cancel/timeout.ts";
import { backoff } from "../kernel/backoff.ts";
import {
  checkChoice,
  checkDurationMs,
  checkFunction,
  checkOptions,
  checkWaitOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";
import { ignore } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { findError } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { HoldOptions } from "../kernel/types.ts";
import { commitCheck } from "./commit_check.ts";
import type { FailureKind, IsolationLevel, ServerLimits } from "./driver.ts";
import {
  ConnectionLostError,
  DatabaseError,
  RetryExhaustedError,
  TransactionConflictError,
  TransactionDoomedError,
} from "./errors.ts";
import { Outermost, type OutermostOptions } from "./outermost.ts";
import { ambientOf, type Propagation, PROPAGATIONS } from "./propagation.ts";
import { FOR_TRANSACTION, LeasedSession, type SessionSource } from "./session.ts";
import { checkFiniteMs } from "./settings.ts";
import { mayRunAgain, type RetryRule, retryRule, type TransactionRetry } from "./transaction_retry.ts";
import type { Transaction } from "./transaction_scope.ts";
import type { VerifyCommit } from "./verify_commit.ts";
import { textOf } from "./wire.ts";

/** How a transaction is to be begun, and its limits. */
export interface BeginOptions extends HoldOptions {
  /** Ends the transaction, wherever it is: nothing more runs, and it is rolled back with this reason. */
  signal?: AbortSignal | undefined;
  /** The limit for all of it, in milliseconds: waiting for a session, every attempt and the pauses in between. */
  timeoutMs?: number | undefined;
  /** The limit for the wait for a session, in milliseconds. Default: the database's. */
  acquireTimeoutMs?: number | undefined;
  /** How long COMMIT may go unanswered, in milliseconds. Default: the database's. */
  commitTimeoutMs?: number | undefined;
  /** The isolation level. Default: the database's own. */
  isolation?: IsolationLevel | undefined;
  /** Whether it only reads: writing in it fails, and in SQLite it does not wait for writers. Default false. */
  readOnly?: boolean | undefined;
  /** Limits that the server keeps by itself; PostgreSQL only. */
  server?: ServerLimits | undefined;
  /**
   * Whether to find out what became of a COMMIT that was not answered: `true` where the driver can ask the database
   * (PostgreSQL; one more statement before each COMMIT), else a function that can tell, say by a row that the transaction
   * wrote. What was committed then counts as success, what was rolled back as a conflict. Default: the database's.
   */
  verifyCommit?: boolean | VerifyCommit | undefined;
}

/** Options of {@linkcode transaction}. */
export interface TransactionOptions extends BeginOptions {
  /** When and how often the callback may run again, or `false` for never. Default: after a conflict, 5 times in all. */
  retry?: TransactionRetry | false | undefined;
  /**
   * What happens inside another transaction of the same database; only for a database with a `context`. Without, that is
   * an error, and outside of any a new one begins.
   */
  propagation?: Propagation | undefined;
  /** The limit for each attempt, from BEGIN on, in milliseconds; reaching it ends the call. Default none. */
  attemptTimeoutMs?: number | undefined;
}

const NO_OPTIONS: TransactionOptions = Object.freeze({});

/** Pauses after a conflict: short at first, as the other one is often done, and scattered, as it pauses too. */
const pauseAfter: (attempt: number) => number = backoff({ baseMs: 5, maxMs: 250, jitter: "full" });

/**
 * Runs `fn` in a transaction; **it may run again**, in a new one, when it met a conflict with another transaction.
 *
 * **Outcome** — committed when `fn` returns, rolled back when it throws or is aborted; what `fn` returned or threw comes
 * out. The session is given back before hooks run and before a pause. **Order** — statements run one at a time, as sent.
 * **Left behind** — await every statement: one still under way when `fn` has settled is cancelled or refused, and one
 * that failed without anybody having asked for its outcome is not committed over; both roll back and reject. What `fn`
 * left running is refused any statement once the transaction ends. **Abort** — the running statement is cancelled where
 * the database can, everything is rolled back, and the call rejects with the signal's reason, without waiting for `fn`,
 * whose later statements are refused. Once COMMIT was sent the signal is not heeded. **Conflicts** — the whole is tried
 * again after a pause with full jitter; a wait for another writer's lock at the beginning is not an attempt, as `fn` has
 * not run. **Nesting** — a savepoint, or another database; another transaction on this one would wait for itself.
 *
 * @param on Where a session comes from: a `Database`.
 * @param fn The work; gets the transaction.
 * @param options `timeoutMs` is the limit for all of it.
 * @returns What `fn` returns.
 * @throws {RetryExhaustedError} When every attempt met a conflict; with one attempt only, the `TransactionConflictError`.
 * @throws {TransactionConflictError} When another connection held the lock that it takes to begin for longer than the
 * database's `lockTimeoutMs`, whatever `retry` says; its `stage` is `"begin"`.
 * @throws {MisuseError} When a statement or savepoint was not awaited, or a savepoint is still open, as `fn` returned.
 * @throws {TransactionDoomedError} When `fn` returned although a failure had ended the transaction.
 * @throws {CommitOutcomeUnknownError} When COMMIT was sent and no answer came; never tried again.
 * @throws {TimeoutError} At a limit.
 * @throws {ClosedError} When the database is closed, before it begins, or when the grace was over and `fn` gave up.
 * @throws The reason of `signal`, unchanged; what `fn` throws; the failure of a statement that was not awaited.
 *
 * @example
 * ```ts
 * import { Database, transaction } from "@uno/async/database";
 * import { sqliteDriver } from "@uno/async/database/sqlite";
 * import assert from "node:assert/strict";
 *
 * await using db = new Database(sqliteDriver({ file: ":memory:" }));
 * await transaction(db, (tx) => tx.query("create table accounts (id integer primary key, balance integer not null)"));
 * const transfer = transaction(db, async (tx) => {
 *   await tx.query("insert into accounts values (?, ?)", [1, 50]);
 *   throw new Error("not enough");
 * });
 * await assert.rejects(transfer, { message: "not enough" });
 * const { rows } = await transaction(db, (tx) => tx.query("select * from accounts"), { readOnly: true });
 * assert.deepEqual(rows, []);
 * ```
 */
export function transaction<T>(
  on: SessionSource,
  fn: (tx: Transaction) => T | PromiseLike<T>,
  options: TransactionOptions = NO_OPTIONS,
): Promise<T> {
  try {
    const rule = checkTransaction(on, fn, options);
    const ambient = ambientOf(on);
    if (ambient === undefined) return run(on, fn, options, rule);
    return ambient.propagate(fn, options, (owner = {}) => {
      const bound = (tx: Transaction): T | PromiseLike<T> => ambient.run(tx as Outermost, () => fn(tx));
      return run(on, bound, { owner, ...options }, rule);
    });
  } catch (error) {
    return Promise.reject(error);
  }
}

function run<T>(
  on: SessionSource,
  fn: (tx: Transaction) => T | PromiseLike<T>,
  options: TransactionOptions,
  rule: RetryRule,
): Promise<T> {
  return options.timeoutMs === undefined
    ? runAttempts(on, fn, options, rule)
    : runWithin(on, fn, options, rule);
}

async function runWithin<T>(
  on: SessionSource,
  fn: (tx: Transaction) => T | PromiseLike<T>,
  options: TransactionOptions,
  rule: RetryRule,
): Promise<T> {
  const { timeoutMs = Infinity, signal, label = `transaction${whereOf(on)}` } = options;
  using limit = awaitedLimit(timeoutMs, signal, label);
  return await runAttempts(on, fn, { ...options, signal: limit.signal }, rule);
}

/** On what it runs, for messages, if that has a name. */
function whereOf(on: SessionSource): string {
  const { name } = on as { name?: unknown };
  return typeof name === "string" ? ` on ${subject("database", name)}` : "";
}

/** A time limit that somebody awaits: the process must not end before it, as it may with the scope's own timer. */
function awaitedLimit(
  ms: number,
  signal: AbortSignal | undefined,
  operation: string,
): Disposable & { readonly signal: AbortSignal } {
  const limit = timeout(ms, { signal, operation });
  const at = clock().now() + Math.min(ms, Number.MAX_SAFE_INTEGER);
  const awaited = clock().schedule(at, ignore, { ref: true });
  return {
    signal: limit.signal,
    [Symbol.dispose]() {
      limit[Symbol.dispose]();
      awaited[Symbol.dispose]();
    },
  };
}

/** Begins a transaction that ends by its own `commit()`; `Database.begin`. */
export async function begin(on: SessionSource, options: BeginOptions = {}): Promise<Transaction> {
  check("begin transaction", on, options);
  const { timeoutMs, signal } = options;
  if (timeoutMs === undefined) return await openTransaction(on, options);
  const limit = timeout(timeoutMs, { signal, operation: options.label ?? `transaction${whereOf(on)}` });
  try {
    return await openTransaction(on, { ...options, signal: limit.signal }, { clock: limit });
  } catch (error) {
    limit[Symbol.dispose]();
    throw error;
  }
}

async function runAttempts<T>(
  on: SessionSource,
  fn: (tx: Transaction) => T | PromiseLike<T>,
  options: TransactionOptions,
  rule: RetryRule,
): Promise<T> {
  const errors: unknown[] = [];
  for (let attempt = 1;; attempt++) {
    const tx = await openTransaction(on, options, { attempt });
    const signal = tx.limits;
    let running: T | PromiseLike<T> | undefined;
    try {
      running = fn(tx);
      const value = await (signal === undefined ? running : abortable(Promise.resolve(running), signal));
      if (tx.state === "open") await tx.commit();
      else await tx.settled();
      return value;
    } catch (thrown) {
      await tx.undo();
      if (signal?.aborted && isEcho(thrown, signal)) {
        watchLate(running, signal);
        throw signal.reason;
      }
      const error = tx.told(thrown);
      if (rule.attempts === 1 || !mayRunAgain(tx, error, rule)) throw error;
      errors.push(error);
      const pauseMs = pauseAfter(attempt);
      if (attempt >= rule.attempts || clock().now() + pauseMs > deadlineOf(options.signal)) {
        throw exhausted(tx, errors);
      }
      if (observed()) {
        emit("transaction.retry", "transaction", tx.wire.settings.name, { attempt, pauseMs, error });
      }
      await sleep(pauseMs, { signal: options.signal });
    }
  }
}

/** Sees to what a callback still comes to after its transaction was aborted. */
function watchLate(running: unknown, signal: AbortSignal): void {
  Promise.resolve(running).then((value) => discard(value, "transaction"), (error) => {
    if (!isEcho(error, signal)) emit("late.failure", "transaction", undefined, { error });
  });
}

/**
 * Begins a transaction. While another connection holds the lock it takes to begin, it comes back for it; a connection
 * that turns out to be lost is replaced.
 */
export async function openTransaction(
  on: SessionSource,
  options: TransactionOptions,
  { attempt = 1, clock: beginLimit, begin }: Partial<Pick<OutermostOptions, "attempt" | "clock" | "begin">> =
    {},
): Promise<Outermost> {
  const { signal, owner, label = FOR_TRANSACTION.label, commitTimeoutMs, attemptTimeoutMs } = options;
  let until: number | undefined;
  for (let tries = 1;; tries++) {
    const session = await on.session(
      options === NO_OPTIONS
        ? FOR_TRANSACTION
        : { signal, owner, label, timeoutMs: options.acquireTimeoutMs },
    );
    if (!(session instanceof LeasedSession)) {
      await session[Symbol.asyncDispose]();
      throw new TypeError(
        "Cannot begin transaction as on must give sessions of a Database: received one of its own",
      );
    }
    const limit = attemptTimeoutMs === undefined
      ? undefined
      : awaitedLimit(attemptTimeoutMs, signal, `attempt ${attempt} of ${label}`);
    const { settings } = session.wire;
    const tx = new Outermost(session, {
      attempt,
      limits: limit?.signal ?? signal,
      commitTimeoutMs,
      check: commitCheck("run transaction", options.verifyCommit ?? settings.verifyCommit, on, {
        attempt,
        limitMs: settings.commitTimeoutMs,
      }),
      clock: limit ?? beginLimit,
      owner,
      begin,
    });
    try {
      await tx.begin(options);
      return tx;
    } catch (error) {
      const again = error instanceof TransactionConflictError || error instanceof ConnectionLostError;
      if (!again) throw error;
      // Not while holding the session: others of this process may want to read.
      const now = clock().now();
      const pauseMs = pauseAfter(tries);
      until ??= now + tx.wire.settings.lockTimeoutMs;
      if (now + pauseMs > Math.min(until, deadlineOf(signal))) throw error;
      await sleep(pauseMs, { signal });
    }
  }
}

function exhausted(tx: Outermost, errors: readonly unknown[]): RetryExhaustedError {
  const last = errors.at(-1);
  const { name } = tx.wire.settings;
  const where = name === undefined ? "database" : `database ${show(name)}`;
  return new RetryExhaustedError(
    `Cannot commit transaction on ${where}: all of its ${errors.length} attempts ${
      metWhat(errors)
    }, the last one: ${textOf(last)}`,
    { dialect: tx.wire.driver.dialect, stage: "commit", failure: failureOf(last), cause: last, errors },
  );
}

function metWhat(errors: readonly unknown[]): string {
  return errors.every((error) => failureOf(error) === "conflict") ? "met a conflict" : "failed";
}

function failureOf(error: unknown): FailureKind {
  const found = findError(error, DatabaseError);
  return found instanceof TransactionDoomedError ? failureOf(found.cause) : found?.failure ?? "other";
}

/** @returns When and how often the callback may run again. */
function checkTransaction(on: SessionSource, fn: unknown, options: TransactionOptions): RetryRule {
  const doing = "run transaction";
  check(doing, on, options);
  checkFunction(doing, "fn", fn);
  const { retry, attemptTimeoutMs, propagation } = options;
  if (propagation !== undefined) {
    checkChoice(doing, "propagation", propagation, PROPAGATIONS);
    if (ambientOf(on) === undefined) {
      throw new RangeError(`Cannot ${doing} as propagation needs a database with a context: it has none`);
    }
  }
  if (attemptTimeoutMs !== undefined) checkDurationMs(doing, "attemptTimeoutMs", attemptTimeoutMs);
  return retryRule(doing, retry);
}

function check(doing: string, on: SessionSource, options: BeginOptions): void {
  if (typeof on?.session !== "function") {
    throw new TypeError(`Cannot ${doing} as on must be a Database: received ${show(on)}`);
  }
  checkOptions(doing, options ?? null);
  checkWaitOptions(doing, options);
  const { acquireTimeoutMs, commitTimeoutMs, verifyCommit } = options;
  if (verifyCommit !== undefined && typeof verifyCommit !== "boolean") {
    checkFunction(doing, "verifyCommit", verifyCommit);
  }
  if (acquireTimeoutMs !== undefined) checkDurationMs(doing, "acquireTimeoutMs", acquireTimeoutMs);
  if (commitTimeoutMs !== undefined) checkFiniteMs(doing, "commitTimeoutMs", commitTimeoutMs);
}
