/** Those who wait for a pool: first come, first served, unless somebody has a priority. */
import { clock } from "../kernel/clock.ts";
import { type Ranked, Ranking } from "../kernel/ranking.ts";
import type { HoldOptions } from "../kernel/types.ts";
import { type Waiting, type WaitOrder, WaitQueue, type WaitQueueOptions } from "../kernel/wait_queue.ts";
import type { Owners } from "./_pool_owners.ts";

/** What somebody waits with. */
export interface Request extends Ranked {
  /** Who asks, as far as they said. */
  readonly hold: HoldOptions | undefined;
  /** Where from, if leaks are looked for. */
  readonly site: Error | undefined;
  /** When they came, among all pools that share room. */
  readonly order: number;
  /** How long they wait at most, if they have no limit of their own. */
  readonly untilMs?: number;
}

/** Nothing known about the caller: what most requests are. */
export const PLAIN: Request = { rank: 0, weight: 1, hold: undefined, site: undefined, order: 0 };

/** Knows who waits, and who of them is next. */
class Order implements WaitOrder<Request> {
  readonly #queue: { readonly oldest: Waiting<Request> | undefined };
  readonly #owners: Owners;
  /** Only while somebody with a priority waits: it costs more than a list. */
  #ranking: Ranking<Request> | undefined;
  #ranked = 0;

  constructor(queue: { readonly oldest: Waiting<Request> | undefined }, owners: Owners) {
    this.#queue = queue;
    this.#owners = owners;
  }

  add(waiter: Waiting<Request>): void {
    const { hold, rank } = waiter.data;
    if (hold?.owner !== undefined) this.#owners.wait(hold.owner);
    if (rank !== 0 && this.#ranked++ === 0) this.#rankAll();
    else this.#ranking?.add(waiter);
  }

  remove(waiter: Waiting<Request>, granted: boolean): void {
    const { hold, rank } = waiter.data;
    if (hold?.owner !== undefined) this.#owners.leave(hold.owner);
    this.#ranking?.remove(waiter, granted);
    if (rank !== 0 && --this.#ranked === 0) this.#ranking = undefined;
  }

  first(): Waiting<Request> | undefined {
    return this.#ranking === undefined ? this.#queue.oldest : this.#ranking.first();
  }

  #rankAll(): void {
    this.#ranking = new Ranking();
    for (let at = this.#queue.oldest; at !== undefined; at = at.next) this.#ranking.add(at);
  }
}

/**
 * A wait queue that puts itself in order when somebody with a priority or an owner comes.
 *
 * Most have the same limit and so reach it in the order in which they came: one timer serves all of them, as one for
 * each would take longer than all the rest.
 */
export class Line<L> extends WaitQueue<L, Request> {
  readonly #owners: Owners;
  readonly #limitMs: number;
  readonly #onExpired: () => void;
  #ordered = false;
  #timer: Disposable | undefined;

  /** `limitMs` is for those who have none of their own. */
  constructor(owners: Owners, limitMs: number, options: WaitQueueOptions & { onLeave: () => void }) {
    super(options);
    this.#owners = owners;
    this.#limitMs = limitMs;
    this.#onExpired = options.onLeave;
  }

  /** Waits; see {@linkcode WaitQueue.wait}. */
  enter(request: Request, signal: AbortSignal | undefined, timeoutMs: number | undefined): Promise<L> {
    if (!this.#ordered && (request.rank !== 0 || request.hold?.owner !== undefined)) {
      this.#ordered = true;
      this.reorder(new Order(this, this.#owners));
    }
    const own = timeoutMs !== undefined;
    if (!own && this.#limitMs !== Infinity) {
      const untilMs = clock().now() + this.#limitMs;
      const { rank, weight, hold, site, order } = request;
      request = { rank, weight, hold, site, order, untilMs };
      if (this.#timer === undefined) this.#watch(untilMs);
    }
    return this.wait(request, signal === undefined && !own ? undefined : { signal, timeoutMs });
  }

  /** Who came last of those who said who they are. */
  newestOwned(): Waiting<Request> | undefined {
    let newest: Waiting<Request> | undefined;
    for (let at = this.oldest; at !== undefined; at = at.next) {
      if (at.data.hold?.owner !== undefined) newest = at;
    }
    return newest;
  }

  /** Stops the clock when nobody waits. */
  look(): void {
    if (this.size > 0) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #watch(untilMs: number): void {
    this.#timer = clock().schedule(untilMs, () => {
      this.#timer = undefined;
      // Some may wait behind those with limits of their own, but never behind later ones of this limit.
      for (let at = this.oldest; at !== undefined;) {
        const { next, data } = at;
        if (data.untilMs !== undefined) {
          if (data.untilMs > untilMs) {
            if (at.waiting) return this.#watch(data.untilMs);
          } else this.expire(at, this.#limitMs);
        }
        // Whoever is told of this may have made others leave.
        at = next === undefined || next.waiting ? next : this.oldest;
      }
      this.#onExpired();
    }, { ref: true });
  }
}
