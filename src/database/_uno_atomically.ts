/** Where a batch is kept or taken back as a whole. */
import { AsyncLock } from "../sync/async_lock.ts";
import type { Database } from "./database.ts";
import { ambientOf } from "./propagation.ts";
import type { Scope } from "./transaction_scope.ts";

/** Runs work all of which is kept or nothing: in a transaction, or in a part of one. */
export type Atomically = <T>(work: (tx: Scope) => Promise<T>, signal: AbortSignal) => Promise<T>;

/** In transactions of its own. */
export function inTransactions(db: Database): Atomically {
  const begin: Atomically = (work, signal) => db.transaction((tx) => work(tx as Scope), { signal });
  const ambient = ambientOf(db);
  // Batches run in the context in which their batcher was made, and that may be a transaction's.
  return ambient === undefined ? begin : (work, signal) => ambient.run(undefined, () => begin(work, signal));
}

/** In savepoints of a transaction: one at a time, for inserts and updates together. */
export function inSavepoints(tx: Scope): Atomically {
  const turns = new AsyncLock();
  return (work, signal) => turns.run(() => tx.savepoint((inner) => work(inner as Scope)), { signal });
}
