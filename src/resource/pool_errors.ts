import { ClosedError, MisuseError, TimeoutError, type TimeoutErrorOptions } from "../kernel/errors.ts";

/** How things stood in a pool when it could not serve. */
export interface PoolFacts {
  /** How many resources were leased. */
  readonly inUse: number;
  /** How many there may be. */
  readonly max: number;
  /** How many callers waited. */
  readonly waiting: number;
}

/** A pool had nothing to lease in time; `cause` is why it could not create anything, if that failed last. */
export class PoolTimeoutError extends TimeoutError implements PoolFacts {
  static {
    this.prototype.name = "PoolTimeoutError";
  }
  readonly inUse: number;
  readonly max: number;
  readonly waiting: number;

  /** Creates the error; the message stands for itself, the rest are the same facts as data. */
  constructor(message: string, options: TimeoutErrorOptions & PoolFacts) {
    super(message, options);
    this.inUse = options.inUse;
    this.max = options.max;
    this.waiting = options.waiting;
  }
}

/** The pool was closed: it leases nothing any more, and those who waited were sent away. */
export class PoolClosedError extends ClosedError {
  static {
    this.prototype.name = "PoolClosedError";
  }
}

/** So many wait for a pool already that it takes nobody else in. */
export class PoolFullError extends Error implements PoolFacts {
  static {
    this.prototype.name = "PoolFullError";
  }
  readonly inUse: number;
  readonly max: number;
  readonly waiting: number;

  /** Creates the error; the message stands for itself, the rest are the same facts as data. */
  constructor(message: string, facts: PoolFacts) {
    super(message);
    this.inUse = facts.inUse;
    this.max = facts.max;
    this.waiting = facts.waiting;
  }
}

/** All resources of a pool are held by owners that wait for another one: they would wait for each other, for ever. */
export class PoolSelfDeadlockError extends MisuseError {
  static {
    this.prototype.name = "PoolSelfDeadlockError";
  }
  /** Who holds what there is, by label. */
  readonly holders: readonly string[];

  /** Creates the error. */
  constructor(message: string, holders: readonly string[]) {
    super(message);
    this.holders = holders;
  }
}
