import type { CallContext } from "./policy.ts";

/** What a {@linkcode BatchFunction} gets besides the items. */
export interface BatchContext extends CallContext {
  /** Aborted when nobody waits for any of the items any more. */
  readonly signal: AbortSignal;
  /** What `partition` said of all of the items; `undefined` without it. */
  readonly partition: unknown;
}

/**
 * The results of a batch: one for each item, in their order, or a `Map` of them by what `dedupe` makes of an item (by
 * the item itself, without it), where an item that is not in it fails with a `BatchMissingError`.
 */
export type BatchResults<R> = readonly R[] | ReadonlyMap<unknown, R>;

/** Serves several items at once. An `Error` in the place of a result fails that item only. */
export type BatchFunction<I, O> = (
  items: readonly I[],
  context: BatchContext,
) => BatchResults<O | Error> | PromiseLike<BatchResults<O | Error>>;

/**
 * Serves several items at once and says of each how it went, as `Promise.allSettled` does: for
 * {@linkcode AsyncBatcher.ofSettled}.
 */
export type SettledBatchFunction<I, O> = (
  items: readonly I[],
  context: BatchContext,
) => BatchResults<PromiseSettledResult<O>> | PromiseLike<BatchResults<PromiseSettledResult<O>>>;

/** Options of an {@linkcode AsyncBatcher}. */
export interface AsyncBatcherOptions<I = unknown> {
  /** How many items go into one batch at most; `Infinity` for no limit. Default 100. */
  maxSize?: number | undefined;
  /** How much the items of one batch weigh at most, such as bytes; an item that weighs more is refused. Default `Infinity`. */
  maxWeight?: number | undefined;
  /** What an item weighs: a number of 0 or more. Default 1 for each. */
  weight?: ((item: I) => number) | undefined;
  /**
   * How long the first item of a batch waits for others, in milliseconds. Default 0: only for those that are added by
   * code that is running or ready to run now.
   */
  maxWaitMs?: number | undefined;
  /** Closes the window before `maxWaitMs` when nothing was added for so many milliseconds. Default `Infinity`: never. */
  quietMs?: number | undefined;
  /**
   * How long a batch takes, in milliseconds: one is begun so long before a caller's limit (`timeoutMs`, or a deadline
   * that the library knows of its signal; see `Deadline.of`). Default: half of the time such a caller has.
   */
  needsMs?: number | undefined;
  /** How many items may wait for a batch. When they are so many, no window is waited for. Default `Infinity`. */
  maxPending?: number | undefined;
  /**
   * What becomes of callers beyond `maxPending`: they wait to be let in, first come, first served (`"wait"`, the
   * default), or are refused with a `QueueFullError` (`"reject"`).
   */
  overflow?: "wait" | "reject" | undefined;
  /**
   * How many batches may run at once. Default 1. A function that adds to its own batcher, and waits for what comes of
   * that, needs one more, or they wait for each other.
   */
  concurrency?: number | undefined;
  /**
   * Whether equal items that wait for a batch are handed over once, for all their callers: by what the function makes of
   * them, or by themselves (`true`); compared as `Map` keys are. Default `false`.
   */
  dedupe?: (boolean | ((item: I) => unknown)) | undefined;
  /**
   * What kind of batch an item goes into, such as its table; compared as `Map` keys are. Each kind has windows of its
   * own and all share the rest; when several could begin a batch, they take turns. Default: all go together.
   */
  partition?: ((item: I) => unknown) | undefined;
  /**
   * Whether a batch that fails as a whole is tried again in halves, and those in halves, until whatever item is to blame
   * fails alone; or for which errors. Items may then be handed over several times. Default `false`.
   */
  bisect?: (boolean | ((error: unknown) => boolean)) | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
}

/** Options of {@linkcode AsyncBatcher.close}. */
export interface AsyncBatcherCloseOptions {
  /** Whether items that wait for a batch still get theirs (`"flush"`, the default) or are refused. */
  pending?: "flush" | "reject" | undefined;
}

/** What an operator wants to know of an {@linkcode AsyncBatcher}. */
export interface AsyncBatcherStatistics {
  /** Items that wait for a batch. */
  readonly pending: number;
  /** Callers that wait to be let in. */
  readonly waiting: number;
  /** Kinds of batch that items wait for. */
  readonly partitions: number;
  /** Batches that run. */
  readonly inUse: number;
  /** Batches that could run besides; 0 once it is closed. */
  readonly free: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Calls of the batch function so far. */
  readonly batches: number;
  /** Batches tried again in parts so far. */
  readonly bisected: number;
  /** Items handed to the batch function so far, those of parts again. */
  readonly granted: number;
  /** Callers who joined an equal item. */
  readonly joined: number;
  /** Callers who got a result. */
  readonly fulfilled: number;
  /** Callers whose item failed, by itself or with its batch, or was refused by {@linkcode AsyncBatcher.close}. */
  readonly failed: number;
  /** Callers who gave up by a signal. */
  readonly aborted: number;
  /** Callers who reached their limit. */
  readonly timedOut: number;
  /** Callers refused as too many items waited. */
  readonly refused: number;
}
