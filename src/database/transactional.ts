import { linkSignals } from "../cancel/link_signals.ts";
import { checkOptions, show } from "../kernel/checks.ts";
import { type AsyncMethod, type CallContext, type Policy, transformer } from "../flow/policy.ts";
import type { Database } from "./database.ts";
import { transaction, type TransactionOptions } from "./transaction.ts";
import type { Transaction } from "./transaction_scope.ts";

/** Options of {@linkcode transactional}. */
export interface TransactionalOptions extends Omit<TransactionOptions, "signal" | "owner"> {
  /** The database, or how the object whose method is called has it. */
  // deno-lint-ignore no-explicit-any
  db: Database | ((self: any) => Database);
}

/**
 * Makes functions and methods run in a transaction of a database that has a `context`; inside they find it as
 * `db.current`.
 *
 * **Propagation** — `"required"` unless said otherwise: joins a transaction that is in effect, and begins one when there
 * is none. **Retry** — off unless asked for: the function runs once. **Signal** — that of an options bag at the end of the
 * arguments is obeyed, and the function gets the transaction's own in its place. Otherwise as {@linkcode transaction}.
 *
 * @returns What transforms a function, and decorates a method as it stands; the signature stays.
 * @throws {TypeError | RangeError} For bad options.
 *
 * @example
 * ```ts
 * import { AsyncLocalStorage } from "node:async_hooks";
 * import { Database, transactional } from "@uno/async/database";
 * import { sqliteDriver } from "@uno/async/database/sqlite";
 * import assert from "node:assert/strict";
 *
 * await using db = new Database(sqliteDriver({ file: ":memory:" }), { context: new AsyncLocalStorage() });
 * await db.query("create table log (text text)");
 * const write = transactional({ db })(async (text: string) => {
 *   await db.current!.query("insert into log values (?)", [text]);
 * });
 * const both = transactional({ db })(async () => {
 *   await write("a");
 *   await write("b");
 *   throw new Error("no");
 * });
 * await assert.rejects(both(), { message: "no" });
 * assert.equal((await db.query("select * from log")).rowCount, 0);
 * ```
 */
export function transactional(
  options: TransactionalOptions,
): <F extends AsyncMethod>(fn: F, context?: ClassMethodDecoratorContext) => F {
  const doing = "create transactional";
  checkOptions(doing, options ?? null);
  const { db: from, propagation = "required", retry = false, ...rest } = options;
  if (typeof from !== "function" && typeof (from as Partial<Database> | undefined)?.session !== "function") {
    throw new TypeError(`Cannot ${doing} as db must be a Database or a function: received ${show(from)}`);
  }
  const policies = new WeakMap<Database, Policy<CallContext>>();
  const policyOf = (db: Database): Policy<CallContext> => {
    let policy = policies.get(db);
    if (policy === undefined) {
      policy = transformer<CallContext>({
        run: (fn, call) =>
          transaction(db, (tx) => callIn(tx, fn, call?.signal), { ...rest, ...call, propagation, retry }),
      });
      policies.set(db, policy);
    }
    return policy;
  };
  return (fn, context) => {
    // Refuses what is no method, as it does for all.
    const checked = transformer<CallContext>({ run: () => Promise.reject() })(fn, context);
    const wrapped = function (this: unknown, ...args: unknown[]): Promise<unknown> {
      try {
        const db = typeof from === "function" ? from(this) : from;
        if (typeof (db as Partial<Database> | undefined)?.session !== "function") {
          throw new TypeError(`Cannot run transaction as db must give a Database: received ${show(db)}`);
        }
        return policyOf(db)(fn).apply(this, args);
      } catch (error) {
        return Promise.reject(error);
      }
    };
    for (const key of ["name", "length"] as const) {
      Object.defineProperty(wrapped, key, { value: checked[key], configurable: true });
    }
    return wrapped as typeof fn;
  };
}

/** A transaction that was joined has no part in the signal of the call, so that the function gets both as one. */
async function callIn<T>(
  tx: Transaction,
  fn: (context: CallContext) => T | PromiseLike<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return await fn({ signal: tx.signal });
  using both = linkSignals(tx.signal, signal);
  return await fn({ signal: both.signal });
}
