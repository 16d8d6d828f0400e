/** The engine of locks and semaphores: weighted permits in strict FIFO order, handed over directly. */
import { checkName, checkOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type LeaseOwner, OwnedLease } from "../kernel/disposer.ts";
import { ClosedError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { HoldOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";

/** What somebody asks for, and then holds. */
export interface Request {
  readonly weight: number;
  /** Who asks, as far as they said. */
  readonly hold: HoldOptions | undefined;
  /** The suspended permit that is to hold again, instead of a new one. */
  readonly again?: Permit;
}

/** Permits held by somebody. */
export type Permit = OwnedLease<Request>;

/** One permit, nothing known about the caller: what most requests are. */
const PLAIN: Request = { weight: 1, hold: undefined };

function request(weight: number, hold: HoldOptions | undefined): Request {
  return weight === 1 && hold === undefined ? PLAIN : { weight, hold };
}

/** Checks the `owner` and `label` of {@linkcode HoldOptions}. */
export function checkHold(doing: string, hold: HoldOptions): void {
  checkName(doing, hold.label, "label");
  if (hold.owner !== undefined) checkOptions(`${doing} as owner`, hold.owner);
}

/** How a {@linkcode Permits} speaks of itself. */
export interface PermitsOptions {
  kind: "lock" | "semaphore";
  name: string | undefined;
  behind: () => string;
}

/** Weighted permits. The structure over it has checked the arguments. */
export class Permits implements LeaseOwner<Permit> {
  readonly kind: string;
  readonly name: string | undefined;
  readonly queue: WaitQueue<Permit, Request>;
  capacity: number;
  inUse = 0;
  /** The reason new requests are refused with, once closed. */
  closedWith: { reason: unknown } | undefined;
  /** The latest permit that is still held: for a lock, which has one, its holder. */
  holder: Permit | undefined;
  /** Since when; read from the clock only for holders that say who they are, as it costs more than a lock. */
  heldSince: number | undefined;
  /** Called when nobody holds or waits any more. */
  onIdle: (() => void) | undefined;

  constructor(capacity: number, options: PermitsOptions) {
    this.capacity = capacity;
    this.kind = options.kind;
    this.name = options.name;
    this.queue = new WaitQueue({
      what: `acquire ${options.kind}`,
      structure: options.kind,
      name: options.name,
      behind: options.behind,
      onLeave: () => this.grantFitting(),
    });
  }

  describe(): string {
    return subject(this.kind, this.name);
  }

  tryAcquire(weight: number, hold: HoldOptions | undefined): Permit | undefined {
    if (this.closedWith !== undefined || !this.#isFree(weight)) return undefined;
    return this.#grant(request(weight, hold));
  }

  acquire(weight: number, hold: HoldOptions | undefined): Promise<Permit> {
    if (hold !== undefined) {
      const refused = this.queue.refusal(hold);
      if (refused !== undefined) return refused;
    }
    const permit = this.tryAcquire(weight, hold);
    if (permit !== undefined) return Promise.resolve(permit);
    if (this.closedWith !== undefined) return Promise.reject(this.closedWith.reason);
    return this.queue.wait(request(weight, hold), hold);
  }

  giveBack(permit: Permit): void {
    this.inUse -= permit.data.weight;
    this.holder = undefined;
    if (observed()) this.#tell("release");
    this.grantFitting();
  }

  /** Serves the head as long as it fits: strict FIFO, so a light request never overtakes a heavy one. */
  grantFitting(): void {
    for (let request = this.queue.head(); request !== undefined; request = this.queue.head()) {
      if (this.inUse + request.weight > this.capacity) return;
      // Nobody is told before the grant: an observer could abort this head, and another would get its permits.
      this.queue.grant(this.#take(request));
      if (observed()) this.#tell("acquire");
    }
    if (this.inUse === 0) this.onIdle?.();
  }

  /** Takes a permit back for a while, as a condition does while it waits; ends with {@linkcode resume}. */
  suspend(permit: Permit): void {
    permit.end("wait with");
    this.giveBack(permit);
  }

  /** Waits until a suspended permit holds again: behind everybody who waits, and not to be given up. */
  async resume(permit: Permit): Promise<void> {
    const again: Request = { ...permit.data, again: permit };
    if (this.#isFree(again.weight)) this.#grant(again);
    else await this.queue.wait(again);
  }

  resize(capacity: number): void {
    this.capacity = capacity;
    this.queue.rejectWhere(
      ({ weight }) => weight > capacity,
      new RangeError(
        `Cannot acquire ${this.describe()} as weight must fit its permits: it was resized to ${capacity}`,
      ),
    );
    this.grantFitting();
  }

  close(reason: unknown): void {
    if (this.closedWith !== undefined) return;
    this.closedWith = {
      reason: reason === undefined
        ? new ClosedError(`Cannot acquire ${this.describe()}: it is closed`)
        : reason,
    };
    this.queue.settleAll(this.closedWith.reason);
  }

  /** Whether so much is there for somebody who comes now, behind everybody who waits. */
  #isFree(weight: number): boolean {
    if (this.inUse + weight > this.capacity) return false;
    if (this.queue.size === 0) return true;
    // Looking at the head drops it if its signal is aborted by now: those whom it held up come first.
    this.grantFitting();
    return this.queue.size === 0 && this.inUse + weight <= this.capacity;
  }

  /** Gives to somebody who did not have to wait. */
  #grant(request: Request): Permit {
    this.queue.totals.granted++;
    const permit = this.#take(request);
    if (observed()) this.#tell("acquire");
    return permit;
  }

  #take(request: Request): Permit {
    const { weight, hold, again } = request;
    this.inUse += weight;
    again?.renew();
    this.heldSince = hold !== undefined && (hold.owner ?? hold.label) !== undefined
      ? clock().now()
      : undefined;
    return this.holder = again ?? new OwnedLease(this, request);
  }

  #tell(kind: string): void {
    emit(kind, this.kind, this.name, { inUse: this.inUse });
  }
}
