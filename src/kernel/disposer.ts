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
export class OwnedLease implements Lease {
  readonly #owner: LeaseOwner<OwnedLease>;
  #held = true;

  constructor(owner: LeaseOwner<OwnedLease>) {
    this.#owner = owner;
  }

  get held(): boolean {
    return this.#held;
  }

  release(): void {
    this.end("release");
    this.#owner.giveBack(this);
  }

  [Symbol.dispose](): void {
    if (this.#held) this.release();
  }

  /** Ends the lease; what was held is the subclass's to pass on. */
  protected end(doing: string): void {
    if (!this.#held) {
      throw new MisuseError(`Cannot ${doing} ${this.#owner.describe()}: this lease was given back before`);
    }
    this.#held = false;
  }

  /** Lets an ended lease hold again. */
  protected renew(): void {
    this.#held = true;
  }
}
