/** The engine of locks and semaphores: weighted permits in strict FIFO order, handed over directly. */
import { checkName, checkObject, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type LeaseOwner, OwnedLease } from "../kernel/disposer.ts";
import { ClosedError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { HoldOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";

/** What somebody asks for, and then holds. */
export interface Request {
  readonly weight: number;
  /** Who asks, as far as they said; and in words. */
  readonly owner: object | undefined;
  readonly label: string | undefined;
  /** The suspended permit that is to hold again, instead of a new one. */
  readonly again: Permit | undefined;
  /** Since when it is held; read from the clock only for those who say who they are, as it costs more than a lock. */
  sinceMs: number | undefined;
}

/** Permits held by somebody. */
export type Permit = OwnedLease<Request>;

/** One permit for somebody unknown: what most requests are. */
const PLAIN: Request = {
  weight: 1,
  owner: undefined,
  label: undefined,
  again: undefined,
  sinceMs: undefined,
};

function request(weight: number, hold: HoldOptions | undefined): Request {
  if (hold === undefined && weight === 1) return PLAIN;
  const owner = hold?.owner;
  const label = hold?.label;
  if (owner === undefined && label === undefined && weight === 1) return PLAIN;
  return { weight, owner, label, again: undefined, sinceMs: undefined };
}

/** Checks the `owner` and `label` of {@linkcode HoldOptions}. */
export function checkHold(doing: string, hold: HoldOptions): void {
  checkName(doing, hold.label, "label");
  checkObject(doing, "owner", hold.owner);
}

/** How a {@linkcode Permits} speaks of itself. */
export interface PermitsOptions {
  kind: "lock" | "semaphore";
  name: string | undefined;
  behind: (request: Request) => string;
}

/** Not `Promise.resolve`, which takes longer on V8. */
// deno-lint-ignore require-await
async function given(permit: Permit): Promise<Permit> {
  return permit;
}

/** Weighted permits. The structure over it has checked the arguments. */
export class Permits implements LeaseOwner<Permit> {
  readonly kind: string;
  readonly name: string | undefined;
  readonly queue: WaitQueue<Permit, Request>;
  /** Permits that hold again although they were disposed of while they did not. */
  readonly #forsaken = new Set<Permit>();
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
    if (this.closedWith !== undefined) return undefined;
    // What nearly all calls are, in as few further calls as can be: it takes a third less on Bun.
    if (weight === 1 && hold === undefined && this.inUse < this.capacity && this.queue.size === 0) {
      this.queue.totals.granted++;
      this.inUse++;
      const permit = this.holder = new OwnedLease(this, PLAIN);
      if (observed()) this.#tell("acquire", PLAIN);
      return permit;
    }
    return this.#isFree(weight) ? this.#grant(request(weight, hold)) : undefined;
  }

  acquire(weight: number, hold: HoldOptions | undefined): Promise<Permit> {
    if (hold !== undefined) {
      const refused = this.queue.refusal(hold);
      if (refused !== undefined) return refused;
    }
    const permit = this.tryAcquire(weight, hold);
    if (permit !== undefined) return given(permit);
    if (this.closedWith !== undefined) return Promise.reject(this.closedWith.reason);
    return this.queue.wait(request(weight, hold), hold);
  }

  giveBack(permit: Permit): void {
    this.inUse -= permit.data.weight;
    this.holder = undefined;
    if (observed()) this.#tell("release", permit.data);
    if (this.queue.size > 0) this.grantFitting();
    else if (this.inUse === 0) this.onIdle?.();
  }

  /** Serves the head as long as it fits: strict FIFO, so a light request never overtakes a heavy one. */
  grantFitting(): void {
    for (let request = this.queue.head(); request !== undefined; request = this.queue.head()) {
      if (this.inUse + request.weight > this.capacity) return;
      // Nobody is told before the grant: an observer could abort this head, and another would get its permits.
      this.queue.grant(this.#take(request));
      if (observed()) this.#tell("acquire", request);
    }
    if (this.inUse === 0) this.onIdle?.();
  }

  /** Takes a permit back for a while, as a condition does while it waits; ends with {@linkcode resume}. */
  suspend(permit: Permit): void {
    permit.suspend("wait with");
    this.giveBack(permit);
  }

  /** Waits until a suspended permit holds again: behind everybody who waits, and not to be given up. */
  async resume(permit: Permit): Promise<void> {
    const again: Request = { ...permit.data, again: permit };
    if (this.#isFree(again.weight)) this.#grant(again);
    else await this.queue.wait(again);
    if (this.#forsaken.delete(permit)) permit[Symbol.dispose]();
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
    if (observed()) this.#tell("acquire", request);
    return permit;
  }

  #take(request: Request): Permit {
    this.inUse += request.weight;
    if (request === PLAIN) return this.holder = new OwnedLease(this, request);
    const permit = request.again ?? new OwnedLease(this, request);
    if (request.again !== undefined && permit.renew()) this.#forsaken.add(permit);
    const { data } = permit;
    if (data.owner !== undefined || data.label !== undefined) data.sinceMs = clock().now();
    return this.holder = permit;
  }

  #tell(kind: string, { weight, label }: Request): void {
    emit(kind, this.kind, this.name, {
      inUse: this.inUse,
      waiting: this.queue.size,
      weight,
      ...(label === undefined ? {} : { label }),
    });
  }
}
