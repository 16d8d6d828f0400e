/**
 * Who of those who wait comes next, by priority and by turns: an order for a `WaitQueue`, O(log n) a step.
 *
 * Keys take turns by deficit round robin (Shreedhar and Varghese, 1995): in each round a key may spend as much as the
 * heaviest request costs, and saves what it did not spend, so that a key with many or heavy requests does not hold up
 * one with few. Within a key the smallest rank comes first, and of equal ranks who came first. A key with nobody
 * waiting takes no room.
 */
import { Heap, type HeapItem } from "./heap.ts";
import type { Waiting, WaitOrder } from "./wait_queue.ts";

/** What a waiter waits with when its turn depends on more than its arrival. */
export interface Ranked {
  /** Smaller is served first. A fixed number: to let time count, make it the time of arrival less a bonus. */
  readonly rank: number;
  /** Who takes turns with whom, compared as a `Map` compares. */
  readonly key?: unknown;
  /** What it costs to be served, of what the key may spend: above 0. */
  readonly weight: number;
}

/** Options of a {@linkcode Ranking}. */
export interface RankingOptions<D> {
  /** How many are ranked at most; who comes later is so when somebody leaves. Default `Infinity`. */
  window?: number | undefined;
  /** Who {@linkcode Ranking.last} may name. Default: nobody, as that costs a second heap. */
  mayBeLast?: ((data: D) => boolean) | undefined;
  /** Whether a request may be served now; asked of the first of each key. Default: always. */
  mayServe?: ((data: D) => boolean) | undefined;
}

class Place<D extends Ranked> implements HeapItem {
  heapIndex = -1;
  rank: number;
  readonly order: number;
  readonly waiter: Waiting<D>;
  readonly lane: Lane<D>;
  fromEnd: FromEnd<D> | undefined;

  constructor(waiter: Waiting<D>, order: number, lane: Lane<D>) {
    this.rank = waiter.data.rank;
    this.order = order;
    this.waiter = waiter;
    this.lane = lane;
  }
}

/** The same place in the heap that begins with who is served last. */
class FromEnd<D extends Ranked> implements HeapItem {
  heapIndex = -1;
  readonly place: Place<D>;

  constructor(place: Place<D>) {
    this.place = place;
  }
}

/** Those who wait with one key, in a ring with the other keys. */
class Lane<D extends Ranked> {
  readonly key: unknown;
  readonly places = new Heap<Place<D>>(before);
  /** What it may still spend in this turn. */
  credit = 0;
  prev: Lane<D> = this;
  next: Lane<D> = this;

  constructor(key: unknown) {
    this.key = key;
  }
}

type Ranks = { readonly rank: number; readonly order: number };

function before(a: Ranks, b: Ranks): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.order < b.order);
}

/** An order by rank within a key, and by turns between keys. */
export class Ranking<D extends Ranked> implements WaitOrder<D> {
  readonly #window: number;
  readonly #mayServe: ((data: D) => boolean) | undefined;
  readonly #mayBeLast: ((data: D) => boolean) | undefined;
  readonly #fromEnd: Heap<FromEnd<D>> | undefined;
  readonly #lanes = new Map<unknown, Lane<D>>();
  /** Whose turn it is. */
  #turn: Lane<D> | undefined;
  /** What a key may spend in a turn: the weight of the heaviest of those who wait, or did since somebody waits. */
  #quantum = 0;
  #count = 0;
  #ranked = 0;
  /** Who came first of those that are not ranked yet. */
  #outside: Waiting<D> | undefined;

  constructor(options: RankingOptions<D> = {}) {
    const { window = Infinity, mayServe, mayBeLast } = options;
    this.#window = window;
    this.#mayServe = mayServe;
    this.#mayBeLast = mayBeLast;
    if (mayBeLast !== undefined) this.#fromEnd = new Heap((a, b) => before(b.place, a.place));
  }

  /** How many keys have somebody waiting. */
  get keys(): number {
    return this.#lanes.size;
  }

  add(waiter: Waiting<D>): void {
    waiter.place = undefined;
    if (this.#ranked < this.#window) this.#rank(waiter);
    else this.#outside ??= waiter;
  }

  remove(waiter: Waiting<D>, granted: boolean): void {
    const place = waiter.place as Place<D> | undefined;
    if (place === undefined) {
      if (this.#outside === waiter) this.#outside = waiter.next;
      return;
    }
    waiter.place = undefined;
    const { lane, fromEnd } = place;
    lane.places.remove(place);
    if (fromEnd !== undefined) this.#fromEnd!.remove(fromEnd);
    // Who has nobody to take turns with may spend more than it has, and owes nothing to those who come later.
    if (granted) lane.credit = Math.max(0, lane.credit - waiter.data.weight);
    if (lane.places.size === 0) this.#drop(lane);
    this.#ranked--;
    if (this.#outside !== undefined) {
      const next = this.#outside;
      this.#outside = next.next;
      this.#rank(next);
    }
  }

  first(): Waiting<D> | undefined {
    let lane = this.#turn;
    if (lane === undefined) return undefined;
    for (let passed = 0; passed <= this.#lanes.size;) {
      const { waiter } = lane.places.peek()!;
      const open = this.#mayServe === undefined || this.#mayServe(waiter.data);
      if (open && (waiter.data.weight <= lane.credit || lane.next === lane)) return waiter;
      // A turn in which a key may not be served is passed on; it saves nothing.
      passed = open ? 0 : passed + 1;
      lane = this.#pass(lane.next);
    }
    return undefined;
  }

  /** Who would be served last of those ranked who may be named, if there were no keys. */
  last(): Waiting<D> | undefined {
    return this.#fromEnd?.peek()?.place.waiter;
  }

  /** The rank of somebody who waits has changed. */
  rerank(waiter: Waiting<D>): void {
    const place = waiter.place as Place<D> | undefined;
    if (place === undefined) return;
    place.lane.places.remove(place);
    if (place.fromEnd !== undefined) this.#fromEnd!.remove(place.fromEnd);
    place.rank = waiter.data.rank;
    place.lane.places.push(place);
    if (place.fromEnd !== undefined) this.#fromEnd!.push(place.fromEnd);
  }

  #rank(waiter: Waiting<D>): void {
    const { key, weight } = waiter.data;
    if (weight > this.#quantum) this.#quantum = weight;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      this.#lanes.set(key, lane = new Lane<D>(key));
      this.#insert(lane);
    }
    const place = new Place(waiter, this.#count++, lane);
    waiter.place = place;
    lane.places.push(place);
    this.#ranked++;
    if (this.#mayBeLast?.(waiter.data)) this.#fromEnd!.push(place.fromEnd = new FromEnd(place));
  }

  /** A new key comes last in the round. */
  #insert(lane: Lane<D>): void {
    const turn = this.#turn;
    if (turn === undefined) {
      this.#pass(lane);
      return;
    }
    lane.next = turn;
    lane.prev = turn.prev;
    lane.prev.next = lane;
    turn.prev = lane;
  }

  #drop(lane: Lane<D>): void {
    this.#lanes.delete(lane.key);
    if (lane.next === lane) {
      this.#turn = undefined;
      this.#quantum = 0;
      return;
    }
    lane.prev.next = lane.next;
    lane.next.prev = lane.prev;
    if (this.#turn === lane) this.#pass(lane.next);
  }

  #pass(lane: Lane<D>): Lane<D> {
    // What it saved is less than the heaviest request costs: a turn is enough for any, and nobody saves up for more.
    lane.credit = Math.min(lane.credit, this.#quantum) + this.#quantum;
    return this.#turn = lane;
  }
}
