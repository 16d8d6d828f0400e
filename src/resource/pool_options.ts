/** What a pool is told and what it tells. */
import type { BackoffOptions } from "../kernel/backoff.ts";
import type { HoldOptions, Lease, WaitOptions } from "../kernel/types.ts";

/** What the functions of a pool get besides the resource. */
export interface PoolContext {
  /** Aborted when the time for it is over; while creating, also when the pool is closed. */
  readonly signal: AbortSignal;
}

/** What the function that makes resources gets. */
export interface PoolCreateContext extends PoolContext {
  /**
   * Tells the pool that what this call made can't be used any more, as when a connection was cut: it is destroyed at once
   * while nobody has it, else when it comes back. Again, or after its end: does nothing.
   */
  gone(): void;
}

/** What a pool does with its resources, however many pools share the room; all times in milliseconds. */
export interface PoolBehaviour<T> {
  /** Appears in messages and observer records. */
  name?: string | undefined;
  /** Ends a resource; default: its own disposal, if it has one. */
  destroy?: ((value: T, context: PoolContext) => unknown) | undefined;
  /**
   * Whether a resource is still good: not when it gives `false` or fails. Asked before it is leased, unless it was
   * known to be good within `freshMs`, and while it is idle, every `validateIdleMs`.
   */
  validate?: ((value: T, context: PoolContext) => unknown) | undefined;
  /** Makes a resource that came back ready for its next user; one for which it gives `false` or fails is destroyed. */
  recycle?: ((value: T, context: PoolContext) => unknown) | undefined;
  /** For how long a resource counts as good after it was created, used or validated. Default 500. */
  freshMs?: number | undefined;
  /** How often an idle resource is validated, so that it stays alive. Default `Infinity`: only before it is leased. */
  validateIdleMs?: number | undefined;
  /** How long a caller waits, unless it says so itself. Default 30,000; `Infinity` for ever. */
  acquireTimeoutMs?: number | undefined;
  /** How long creating may take; it has failed then, and what comes all the same is destroyed. Default 30,000. */
  createTimeoutMs?: number | undefined;
  /** How long `validate` or `recycle` may take; they have failed then. Default 5,000. */
  validateTimeoutMs?: number | undefined;
  /** How long destroying may take before its room is given to another; finite. Default 10,000. */
  destroyTimeoutMs?: number | undefined;
  /** The pauses between attempts to create after one has failed. Default: exponential from 100 to 10,000, full jitter. */
  backoff?: BackoffOptions | undefined;
  /**
   * Whether callers are refused with the error of creating when it fails, and until it may be tried again; a function
   * says so of each error, which it should for those that will not pass. Default `false`: they wait, for as long as they
   * can.
   */
  failFast?: boolean | ((error: unknown) => boolean) | undefined;
  /** How many may wait for others to give back; a call beyond that rejects. Default `Infinity`; 0 never waits for others. */
  maxWaiters?: number | undefined;
  /** How long a resource may be idle before it is destroyed, down to `min`. Default `Infinity`: for ever. */
  idleTimeoutMs?: number | undefined;
  /** How old a resource may become; one in use is destroyed when it comes back. Default `Infinity`. */
  maxLifetimeMs?: number | undefined;
  /** By which share, at random, a life may be shorter, so that not all end together: 0 to 1. Default 0.1. */
  lifetimeJitter?: number | undefined;
  /** How often a resource is leased before it is destroyed. Default `Infinity`. */
  maxUses?: number | undefined;
  /** After how long a lease is reported to the observer, once, with where it was acquired. Default `Infinity`: never. */
  leakAfterMs?: number | undefined;
}

/** Options of an {@linkcode AsyncResourcePool}. */
export interface AsyncResourcePoolOptions<T> extends PoolBehaviour<T> {
  /** How many there may be, those that are being created or destroyed included: an integer >= 1. */
  max: number;
  /** How many are kept, used or not, from the beginning on. Default 0. */
  min?: number | undefined;
  /** How many may hold one at once, for resources that serve several at a time: an integer >= 1. Default 1. */
  leasesPerResource?: number | undefined;
  /** Makes one. */
  create(context: PoolCreateContext): T | PromiseLike<T>;
}

/** Options of a {@linkcode KeyedResourcePool}. */
export interface KeyedResourcePoolOptions<K, T> extends PoolBehaviour<T> {
  /** How many there may be in all, those that are being created or destroyed included: an integer >= 1. */
  max: number;
  /** How many there may be of one key. Default `max`, whatever that is changed to. */
  maxPerKey?: number | undefined;
  /** Makes one. */
  create(key: K, context: PoolCreateContext): T | PromiseLike<T>;
}

/** Options of {@linkcode AsyncResourcePool.acquire}. */
export interface PoolAcquireOptions extends HoldOptions {
  /** Higher is served first; of equal ones, who came first. Default 0. */
  priority?: number | undefined;
}

/** Options of {@linkcode AsyncResourcePool.run}. */
export interface PoolRunOptions
  extends WaitOptions, Pick<PoolAcquireOptions, "owner" | "label" | "priority"> {
  /** Gives up after so many milliseconds of waiting for a resource. Default: the pool's `acquireTimeoutMs`. */
  queueTimeoutMs?: number | undefined;
}

/** A resource in somebody's hands. */
export interface PoolLease<T> extends Lease {
  /** The resource. */
  readonly value: T;
  /**
   * Ends the lease, and the resource with it: for one that may be broken. If others have leases on it, when they end.
   *
   * @throws {MisuseError} When it is not held any more.
   */
  discard(): void;
}

/** What work in a pool gets. */
export interface PoolRunContext<T> {
  /** The resource. */
  readonly value: T;
  /** Aborted when the call is given up. */
  readonly signal: AbortSignal;
  /** Has the resource destroyed when the work has settled, instead of being leased again. */
  discard(): void;
}

/** What an operator wants to know of an {@linkcode AsyncResourcePool}. */
export interface PoolStatistics {
  /** How many resources there may be. */
  readonly max: number;
  /** How many are kept. */
  readonly min: number;
  /** How many places are taken: the sum of the next five. */
  readonly size: number;
  /** Resources in somebody's hands. */
  readonly inUse: number;
  /** Resources that can be leased. */
  readonly idle: number;
  /** Resources that are being created. */
  readonly creating: number;
  /** Resources that are being validated or recycled. */
  readonly checking: number;
  /** Resources that are being destroyed. */
  readonly destroying: number;
  /** Leases on those, where one may have several. */
  readonly leases: number;
  /** How many could still be leased at once: as many as `max` could have, less `leases`; 0 once it is closed. */
  readonly free: number;
  /** Callers that wait. */
  readonly waiting: number;
  /**
   * How long the longest lease has been held, in milliseconds, as far as is known: since somebody waits for it, if it
   * has neither label nor owner and no leaks are looked for, as reading the clock costs more than a lease. 0 when there
   * is none.
   */
  readonly longestLeaseMs: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Leases so far. */
  readonly granted: number;
  /** Calls given up by a signal. */
  readonly aborted: number;
  /** Calls that reached their limit. */
  readonly timedOut: number;
  /** Calls refused because too many waited, or because they would have waited for themselves. */
  readonly refused: number;
  /** Resources created so far. */
  readonly created: number;
  /** Attempts to create that failed so far. */
  readonly createFailed: number;
  /** Resources destroyed so far, or given up trying. */
  readonly destroyed: number;
  /** Resources found not to be good any more so far. */
  readonly invalid: number;
  /** Resources destroyed so far because of their age, their idleness or a wish. */
  readonly evicted: number;
  /** Leases reported as leaks so far. */
  readonly leaked: number;
}

/** What an operator wants to know of a {@linkcode KeyedResourcePool}. */
export interface KeyedPoolStatistics extends Omit<PoolStatistics, "min" | "longestLeaseMs"> {
  /** How many keys have anything. */
  readonly keys: number;
}

/** What {@linkcode AsyncResourcePool.close} takes. */
export interface PoolCloseOptions {
  /** How long to wait for those who hold something, in milliseconds. Default `Infinity`. */
  graceMs?: number | undefined;
}

/** What {@linkcode AsyncResourcePool.close} came to. */
export interface PoolCloseReport {
  /** Who still held something when the grace was over, by label. */
  readonly stragglers: readonly string[];
  /** What destroying resources failed with since closing began. */
  readonly errors: readonly unknown[];
}
