/** The engine of locks and semaphores: weighted permits in strict FIFO order, handed over directly. */
import { checkName, checkOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type LeaseOwner, OwnedLease } from "../kernel/disposer.ts";
import { ClosedError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { HoldOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";

/** Permits held by somebody. */
export class Permit extends OwnedLease {
  readonly weight: number;
  /** Who holds it, as far as the caller said. */
  readonly hold: HoldOptions | undefined;
  /** When it was acquired; read from the clock only for callers that say who they are, as it costs more than a lock. */
  readonly since: number | undefined;

  constructor(owner: LeaseOwner<OwnedLease>, weight: number, hold: HoldOptions | undefined) {
    super(owner);
    this.weight = weight;
    this.hold = hold;
    this.since = hold !== undefined && (hold.owner ?? hold.label) !== undefined ? clock().now() : undefined;
  }

  /** Gives it back for a while, as a condition does while it waits; ends with {@linkcode Permits.resume}. */
  suspend(owner: LeaseOwner<OwnedLease>): void {
    this.end("wait with");
    owner.giveBack(this);
  }

  /** Lets it hold again. */
  override renew(): void {
    super.renew();
  }
}

interface Request {
  readonly weight: number;
  readonly hold: HoldOptions | undefined;
  /** The suspended permit that is to hold again, instead of a new one. */
  readonly again?: Permit;
}

/** One permit, nothing known about the caller: what most requests are. */
const PLAIN: Request = { weight: 1, hold: undefined };

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
export class Permits implements LeaseOwner<OwnedLease> {
  readonly kind: string;
  readonly name: string | undefined;
  readonly queue: WaitQueue<Permit, Request>;
  capacity: number;
  inUse = 0;
  /** The reason new requests are refused with, once closed. */
  closedWith: { reason: unknown } | undefined;
  /** The latest permit that is still held: for a lock, which has one, its holder. */
  holder: Permit | undefined;
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
    if (
      this.closedWith !== undefined || this.inUse + weight > this.capacity || this.queue.head() !== undefined
    ) {
      return undefined;
    }
    this.queue.totals.granted++;
    const permit = this.#take(weight, hold);
    if (observed()) this.#tell("acquire");
    return permit;
  }

  acquire(weight: number, hold: HoldOptions | undefined): Promise<Permit> {
    if (hold !== undefined) {
      const refused = this.queue.refusal(hold);
      if (refused !== undefined) return refused;
    }
    const permit = this.tryAcquire(weight, hold);
    if (permit !== undefined) return Promise.resolve(permit);
    if (this.closedWith !== undefined) return Promise.reject(this.closedWith.reason);
    return this.queue.wait(weight === 1 && hold === undefined ? PLAIN : { weight, hold }, hold);
  }

  giveBack(permit: OwnedLease): void {
    this.inUse -= (permit as Permit).weight;
    this.holder = undefined;
    if (observed()) this.#tell("release");
    this.grantFitting();
  }

  /** Serves the head as long as it fits: strict FIFO, so a light request never overtakes a heavy one. */
  grantFitting(): void {
    for (let request = this.queue.head(); request !== undefined; request = this.queue.head()) {
      if (this.inUse + request.weight > this.capacity) return;
      // Nobody is told before the grant: an observer could abort this head, and another would get its permits.
      this.queue.grant(this.#take(request.weight, request.hold, request.again));
      if (observed()) this.#tell("acquire");
    }
    if (this.inUse === 0) this.onIdle?.();
  }

  /** Waits until a suspended permit holds again: behind everybody who waits, and not to be given up. */
  async resume(permit: Permit): Promise<void> {
    const { weight, hold } = permit;
    const free = this.inUse + weight <= this.capacity && this.queue.head() === undefined;
    if (free) this.#take(weight, hold, permit);
    else await this.queue.wait({ weight, hold, again: permit });
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

  #take(weight: number, hold: HoldOptions | undefined, again?: Permit): Permit {
    this.inUse += weight;
    again?.renew();
    return this.holder = again ?? new Permit(this, weight, hold);
  }

  #tell(kind: string): void {
    emit(kind, this.kind, this.name, { inUse: this.inUse });
  }
}
