/** Those who wait for a pool: first come, first served, unless somebody has a priority. */
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

/** A wait queue that puts itself in order when somebody with a priority or an owner comes. */
export class Line<L> extends WaitQueue<L, Request> {
  readonly #owners: Owners;
  #ordered = false;

  constructor(owners: Owners, options: WaitQueueOptions) {
    super(options);
    this.#owners = owners;
  }

  /** Waits; see {@linkcode WaitQueue.wait}. */
  enter(request: Request, signal: AbortSignal | undefined, timeoutMs: number): Promise<L> {
    if (!this.#ordered && (request.rank !== 0 || request.hold?.owner !== undefined)) {
      this.#ordered = true;
      this.reorder(new Order(this, this.#owners));
    }
    const unbound = signal === undefined && timeoutMs === Infinity;
    return this.wait(request, unbound ? undefined : { signal, timeoutMs });
  }
}
