/** Those who wait for one bucket of a rate limiter, first come, first served. */
import type { HeapItem } from "../kernel/heap.ts";
import { type Place, type Waiting, WaitQueue, type WaitQueueOptions } from "../kernel/wait_queue.ts";
import type { Bucket } from "./_rate_algorithm.ts";
import type { Booking } from "./_rate_booking.ts";

/** What somebody waits with. */
export interface RateRequest {
  readonly weight: number;
  /** Who would be served later than this is refused instead. */
  readonly latestMs: number;
  /** When a reservation is served: at the moment it was promised, as that is when it is used. For others, no bound. */
  readonly notBeforeMs: number;
  /** Whether what is taken may be given back. */
  readonly forNow: boolean;
  /** The line of another limiter that waits here for its head. */
  readonly line: RateLine | undefined;
}

/** A unit of weight, and all the time in the world: what most ask for. */
export const PLAIN: RateRequest = request(1);

/** A request of so much, of which nothing else is said. */
export function request(weight: number, more?: Partial<RateRequest>): RateRequest {
  return { weight, latestMs: Infinity, notBeforeMs: -Infinity, forNow: false, line: undefined, ...more };
}

/** Whether it was promised its moment. */
export function isPromised({ notBeforeMs }: RateRequest): boolean {
  return notBeforeMs > -Infinity;
}

/** How it will be when so many of a line have been served. */
export interface Ahead {
  /** The counts of then. */
  readonly bucket: Bucket;
  /** When the first of them is served. */
  dueMs: number;
  /** When the last of them is served. */
  atMs: number;
  /** Until then it is paused, for all but reservations. */
  readonly openMs: number;
  /** Who that is. */
  last: Waiting<RateRequest> | undefined;
}

/** Whose line it is. */
export interface RateLineOwner {
  /** How many wait, over all lines. */
  waiting: number;
  /** Serves the head as long as it can be. */
  serve(line: RateLine, nowMs?: number): void;
  /** Above, the head can be served: serves it if it can be here too, and then the next, from the beginning. */
  called(line: RateLine, nowMs: number): void;
}

/** Exists while somebody waits for its bucket, or while that is paused. */
export class RateLine implements HeapItem, RateRequest {
  readonly bucket: Bucket<RateLine>;
  readonly gate: RateLineOwner;
  readonly queue: WaitQueue<Booking | undefined, RateRequest>;
  /** Nobody is served before. */
  pausedUntilMs = -Infinity;
  /** The sum of the weights that are waited for. */
  weighing = 0;
  /** How many of those who wait have a latest moment. */
  pressed = 0;
  /** How many are reservations. */
  reserved = 0;
  /** What was found by looking ahead, as long as nothing has changed but that more wait. */
  ahead: Ahead | undefined;
  /** Where it stands in the line of the gate above, for its head. */
  place: Place | undefined;
  /** The last line it stood in there. */
  above: RateLine | undefined;
  /** The weight it came there with. */
  asked = 0;
  /** Whether somebody is looking at its head already. */
  serving = false;
  /** When its head can be served, for the gate's timer. */
  dueMs = Infinity;
  order = 0;
  heapIndex = -1;
  // As a request in the line above.
  readonly latestMs = Infinity;
  readonly notBeforeMs = -Infinity;
  readonly forNow = false;
  readonly line = this;

  constructor(gate: RateLineOwner, bucket: Bucket<RateLine>, options: WaitQueueOptions) {
    this.gate = gate;
    this.bucket = bucket;
    this.queue = new WaitQueue({ ...options, onLeave: () => gate.serve(this) });
    this.queue.reorder({
      add: (waiter) => this.#count(waiter, waiter.place = waiter.data.weight, 1),
      remove: (waiter) => {
        // Who came last, and has not been looked at yet, changes nothing for those who have.
        if (waiter.next !== undefined || this.ahead?.last === waiter) this.ahead = undefined;
        if (this.place !== undefined && waiter === this.queue.oldest) this.#asksAnew();
        this.#count(waiter, -(waiter.place as number), -1);
      },
      first: () => this.queue.oldest,
    });
  }

  /** What its head asks for: 0 when nobody waits. */
  get weight(): number {
    return this.queue.head()?.weight ?? 0;
  }

  /** Leaves the line above. */
  stepBack(): void {
    const { place } = this;
    this.place = undefined;
    place?.leave();
    place?.left();
  }

  /** With another head, it asks for something else above than was looked ahead with there. */
  #asksAnew(): void {
    for (let line = this.above; line !== undefined; line = line.above) line.ahead = undefined;
  }

  #count({ data }: Waiting<RateRequest>, weight: number, one: 1 | -1): void {
    this.gate.waiting += one;
    this.weighing += weight;
    if (data.latestMs < Infinity) this.pressed += one;
    if (isPromised(data)) this.reserved += one;
  }
}
