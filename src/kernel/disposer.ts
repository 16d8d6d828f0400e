/** The single-use lease: what an acquisition gives, and the only thing that can give it back. */
import { MisuseError } from "./errors.ts";
import type { Lease } from "./types.ts";

/** The engine behind a lease. */
export interface LeaseOwner<L> {
  /** Takes the held thing back; called exactly once per lease. */
  giveBack(lease: L): void;
  /** What is held, for messages: `lock "orders"`. */
  describe(): string;
}

/**
 * A lease that is given back once: by `release()`, which refuses a second time, or by disposal, which then does
 * nothing. Ownership is this object, so that nobody can release through somebody else's.
 */
export class OwnedLease<D = undefined> implements Lease {
  readonly #owner: LeaseOwner<OwnedLease<D>>;
  /** A suspended one holds again by itself, unless it was disposed of before. One field, as every lease has it. */
  #held: boolean | "suspended" | "disposed" = true;
  /** What is held, in the engine's terms. A field, as constructing a subclass would cost more than a whole lock. */
  readonly data: D;

  constructor(owner: LeaseOwner<OwnedLease<D>>, data?: D) {
    this.#owner = owner;
    this.data = data as D;
  }

  get held(): boolean {
    return this.#held === true;
  }

  release(): void {
    if (this.#held !== true) this.end("release"); // throws
    this.#held = false;
    this.#owner.giveBack(this);
  }

  [Symbol.dispose](): void {
    if (this.#held === true) this.release();
    else if (this.#held === "suspended") this.#held = "disposed";
  }

  /** Ends the lease without giving back: what was held is the caller's to pass on. @internal */
  end(doing: string): void {
    if (this.#held !== true) {
      throw new MisuseError(`Cannot ${doing} ${this.#owner.describe()}: this lease was given back before`);
    }
    this.#held = false;
  }

  /** Ends the lease until it is renewed. @internal */
  suspend(doing: string): void {
    this.end(doing);
    this.#held = "suspended";
  }

  /** Lets a suspended lease hold again. @returns Whether it was disposed of meanwhile, and is to be given back. @internal */
  renew(): boolean {
    const disposed = this.#held === "disposed";
    this.#held = true;
    return disposed;
  }
}
