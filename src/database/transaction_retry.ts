/** Which failures of a transaction may pass when it is run again, whole. */
import { checkBoolean, checkCount, checkFunction, checkOptions } from "../kernel/checks.ts";
import { causes, leaves } from "../kernel/errors.ts";
import { DatabaseError } from "./errors.ts";
import type { Outermost } from "./outermost.ts";

/** When and how often a transaction is run again. */
export interface TransactionRetry {
  /** How often the callback may run. Default 5. */
  attempts?: number | undefined;
  /**
   * Whether it runs again when the connection was lost before COMMIT was sent, or the server had turned read only, as
   * after a failover. Default false: what the callback did elsewhere is done twice then.
   */
  lostConnection?: boolean | undefined;
  /** Whether it runs again when a lock was not to be had in time. Default false. */
  lockTimeout?: boolean | undefined;
  /** Says of any other failure that the database reported whether it may pass, such as a key that was taken. */
  when?: ((error: DatabaseError) => boolean) | undefined;
}

/** {@linkcode TransactionRetry}, complete. */
export interface RetryRule extends TransactionRetry {
  readonly attempts: number;
}

const ONCE: RetryRule = Object.freeze({ attempts: 1 });
const DEFAULT: RetryRule = Object.freeze({ attempts: 5 });

/** Checks the option and completes it. */
export function retryRule(doing: string, retry: TransactionRetry | false | undefined): RetryRule {
  if (retry === undefined) return DEFAULT;
  if (retry === false) return ONCE;
  checkOptions(`${doing} as retry`, retry ?? null);
  const { attempts = DEFAULT.attempts, lostConnection, lockTimeout, when } = retry;
  checkCount(doing, "retry.attempts", attempts, 1);
  checkBoolean(doing, "retry.lostConnection", lostConnection);
  checkBoolean(doing, "retry.lockTimeout", lockTimeout);
  if (when !== undefined) checkFunction(doing, "retry.when", when);
  return { attempts, lostConnection, lockTimeout, when };
}

/**
 * Whether a transaction that failed may be run again.
 *
 * Only for what its own statements came to, however deep it lies in what was thrown; and only when it was rolled back.
 */
export function mayRunAgain(tx: Outermost, thrown: unknown, rule: RetryRule): boolean {
  if (tx.state !== "rolled back" || tx.refusals === undefined) return false;
  for (const leaf of leaves(thrown)) {
    for (const cause of causes(leaf)) {
      if (cause instanceof DatabaseError && tx.refusals.has(cause) && mayPass(cause, rule)) return true;
    }
  }
  return false;
}

function mayPass(error: DatabaseError, { lostConnection, lockTimeout, when }: RetryRule): boolean {
  switch (error.failure) {
    case "conflict":
      return true;
    case "connection":
    case "readOnly":
      if (lostConnection) return true;
      break;
    case "lockTimeout":
      if (lockTimeout) return true;
  }
  return when?.(error) === true;
}
