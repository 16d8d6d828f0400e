import { checkChoice, checkFunction, checkName, checkOptions, subject } from "../kernel/checks.ts";
import { type LeaseOwner, OwnedLease } from "../kernel/disposer.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { Lease, WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";

/** A lease on a {@linkcode ReadWriteLock} for writing. */
export interface WriteLease extends Lease {
  /**
   * Turns it into a lease for reading, without letting another writer in between.
   *
   * @returns The lease for reading; this one is not held any more.
   * @throws {MisuseError} When this one is not held.
   */
  downgrade(): Lease;
}

/** What an operator wants to know of a {@linkcode ReadWriteLock}. */
export interface ReadWriteLockStatistics {
  /** How many read. */
  readonly readers: number;
  /** Whether somebody writes. */
  readonly writing: boolean;
  /** How many wait to read. */
  readonly waitingReaders: number;
  /** How many wait to write. */
  readonly waitingWriters: number;
  /** Acquisitions so far. */
  readonly granted: number;
  /** Acquisitions given up by a signal. */
  readonly aborted: number;
  /** Acquisitions that reached their limit. */
  readonly timedOut: number;
}

/** A lease on the lock; its data: whether it is for writing. */
type Held = OwnedLease<boolean>;

class Writing extends OwnedLease<boolean> implements WriteLease {
  readonly #downgrade: () => Lease;

  constructor(owner: LeaseOwner<Held>, downgrade: () => Lease) {
    super(owner, true);
    this.#downgrade = downgrade;
  }

  downgrade(): Lease {
    this.end("downgrade");
    return this.#downgrade();
  }
}

/** Its place in the order of arrival over both queues. */
interface Arrival {
  readonly order: number;
}

/**
 * Lets many read, or one write.
 *
 * **Order** — with `prefer: "fifo"`, the default, strictly first come, first served: a reader does not overtake a
 * writer that waits, and readers that wait next to one another go together. `"write"` lets writers go before readers
 * that wait, `"read"` lets readers in whenever nobody writes; either may starve the other side. **Abort** — a waiter
 * that gives up leaves at once, and those it held up are let in in the same turn. **Upgrade** — there is none, as two
 * readers upgrading would wait for each other; a writer can {@linkcode WriteLease.downgrade}.
 *
 * @example
 * ```ts
 * import { ReadWriteLock } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const lock = new ReadWriteLock();
 * {
 *   using _a = await lock.acquireRead();
 *   using _b = await lock.acquireRead();
 *   assert.equal(lock.tryAcquireWrite(), undefined);
 * }
 * using _writer = await lock.acquireWrite();
 * assert.ok(lock.statistics().writing);
 * ```
 */
export class ReadWriteLock {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #prefer: "fifo" | "read" | "write";
  readonly #readers: WaitQueue<Held, Arrival>;
  readonly #writers: WaitQueue<Held, Arrival>;
  readonly #owner: LeaseOwner<Held>;
  #arrivals = 0;
  #reading = 0;
  #writing = false;

  /**
   * Creates a free lock.
   *
   * @param options `prefer` says who goes first; `name` appears in messages and observer records.
   */
  constructor(options: { prefer?: "fifo" | "read" | "write"; name?: string | undefined } = {}) {
    checkOptions("create read-write lock", options);
    const { name, prefer = "fifo" } = options;
    checkName("create read-write lock", name);
    checkChoice(`create ${subject("read-write lock", name)}`, "prefer", prefer, ["fifo", "read", "write"]);
    this.name = name;
    this.#prefer = prefer;
    const common = {
      structure: "read-write lock",
      name,
      behind: () =>
        `${this.#writing ? "1 writing" : `${this.#reading} reading`}, ` +
        `${this.#readers.size} waiting to read, ${this.#writers.size} to write`,
      onLeave: () => this.#admit(),
    };
    this.#readers = new WaitQueue({ what: "read under read-write lock", ...common });
    this.#writers = new WaitQueue({ what: "write under read-write lock", ...common });
    this.#owner = {
      giveBack: (lease) => {
        if (lease.data) this.#writing = false;
        else this.#reading--;
        if (observed()) this.#tell("release", lease.data);
        this.#admit();
      },
      describe: () => subject("read-write lock", name),
    };
  }

  /**
   * Waits until reading is allowed, and reads until the lease is released or disposed.
   *
   * @throws {TimeoutError} When the limit is reached.
   * @throws The reason of `signal`, unchanged.
   */
  acquireRead(options?: WaitOptions): Promise<Lease> {
    return this.#acquire(false, options);
  }

  /**
   * Waits until writing is allowed, and writes, alone, until the lease is released or disposed.
   *
   * @throws {TimeoutError} When the limit is reached.
   * @throws The reason of `signal`, unchanged.
   */
  acquireWrite(options?: WaitOptions): Promise<WriteLease> {
    return this.#acquire(true, options) as Promise<Writing>;
  }

  /** Reads if that needs no waiting. @returns The lease, or `undefined`. */
  tryAcquireRead(): Lease | undefined {
    return this.#tryAcquire(false);
  }

  /** Writes if that needs no waiting. @returns The lease, or `undefined`. */
  tryAcquireWrite(): WriteLease | undefined {
    return this.#tryAcquire(true) as Writing | undefined;
  }

  /** Runs `fn` while reading; released however it ends. */
  async runRead<T>(fn: () => T | PromiseLike<T>, options?: WaitOptions): Promise<T> {
    return await this.#run(false, fn, options);
  }

  /** Runs `fn` while writing; released however it ends. */
  async runWrite<T>(fn: () => T | PromiseLike<T>, options?: WaitOptions): Promise<T> {
    return await this.#run(true, fn, options);
  }

  /** A snapshot of who reads, writes and waits, and the totals so far. */
  statistics(): ReadWriteLockStatistics {
    const [r, w] = [this.#readers.totals, this.#writers.totals];
    return Object.freeze({
      readers: this.#reading,
      writing: this.#writing,
      waitingReaders: this.#readers.size,
      waitingWriters: this.#writers.size,
      granted: r.granted + w.granted,
      aborted: r.aborted + w.aborted,
      timedOut: r.timedOut + w.timedOut,
    });
  }

  #acquire(writes: boolean, options: WaitOptions | undefined): Promise<Held> {
    const queue = writes ? this.#writers : this.#readers;
    const refused = queue.refusal(options);
    if (refused !== undefined) return refused;
    const lease = this.#tryAcquire(writes);
    return lease === undefined ? queue.wait({ order: this.#arrivals++ }, options) : Promise.resolve(lease);
  }

  #tryAcquire(writes: boolean): Held | undefined {
    // First, as looking at the heads drops those whose signal is aborted by now, and lets nobody in instead.
    if (this.#readers.size + this.#writers.size > 0) this.#admit();
    const [reader, writer] = [this.#readers.head(), this.#writers.head()];
    // Whoever comes goes behind those who wait, but for the preferred side, which only its own kind holds up.
    const barred = this.#prefer === "read" && !writes
      ? false
      : this.#prefer === "write" && writes
      ? writer !== undefined
      : reader !== undefined || writer !== undefined;
    if (barred || !this.#allowed(writes)) return undefined;
    (writes ? this.#writers : this.#readers).totals.granted++;
    const lease = this.#take(writes);
    if (observed()) this.#tell("acquire", writes);
    return lease;
  }

  async #run<T>(writes: boolean, fn: () => T | PromiseLike<T>, options: WaitOptions | undefined): Promise<T> {
    checkFunction(`run in ${this.#owner.describe()}`, "fn", fn);
    const lease = await this.#acquire(writes, options);
    try {
      return await fn();
    } finally {
      lease.release();
    }
  }

  #allowed(writes: boolean): boolean {
    return !this.#writing && (!writes || this.#reading === 0);
  }

  #take(writes: boolean): Held {
    if (!writes) {
      this.#reading++;
      return new OwnedLease(this.#owner, false);
    }
    this.#writing = true;
    return new Writing(this.#owner, () => {
      this.#writing = false;
      this.#readers.totals.granted++;
      const lease = this.#take(false);
      if (observed()) {
        this.#tell("release", true);
        this.#tell("acquire", false);
      }
      this.#admit();
      return lease;
    });
  }

  /** Lets in whom it may, one after another. */
  #admit(): void {
    for (;;) {
      const [reader, writer] = [this.#readers.head(), this.#writers.head()];
      const writes = this.#nextWrites(reader, writer);
      if (writes === undefined || !this.#allowed(writes)) return;
      (writes ? this.#writers : this.#readers).grant(this.#take(writes));
      if (observed()) this.#tell("acquire", writes);
    }
  }

  /** Whether the next to be let in writes; `undefined` when nobody waits. */
  #nextWrites(reader: Arrival | undefined, writer: Arrival | undefined): boolean | undefined {
    if (reader === undefined) return writer === undefined ? undefined : true;
    if (writer === undefined || this.#prefer === "read") return false;
    return this.#prefer === "write" || writer.order < reader.order;
  }

  #tell(kind: string, writes: boolean): void {
    emit(kind, "read-write lock", this.name, {
      mode: writes ? "write" : "read",
      reading: this.#reading,
      writing: this.#writing,
      waiting: this.#readers.size + this.#writers.size,
    });
  }
}
