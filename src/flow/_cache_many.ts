/** One caller who waits for several loads at once. */
import { WaitQueue } from "../kernel/wait_queue.ts";
import type { Place } from "../kernel/wait_queue.ts";
import type { Load } from "./_cache_load.ts";
import { type Ask, endMs } from "./_cache_loads.ts";

/** The results of several keys, in their order, and the wait for those that are not there yet. */
export class Many<K, V> {
  /** Each key once, with its places in the results. */
  readonly places = new Map<K, number[]>();
  readonly #results: PromiseSettledResult<V>[];
  readonly #ask: Ask;
  readonly #joined: Place[] = [];
  #missing = 0;
  readonly #caller: WaitQueue<PromiseSettledResult<V>[]>;

  /** `gaveUp` is told how the caller did, if it does. */
  constructor(
    keys: readonly K[],
    ask: Ask,
    name: string | undefined,
    gaveUp: (totals: { aborted: number; timedOut: number }) => void,
  ) {
    keys.forEach((key, at) => {
      const places = this.places.get(key);
      if (places === undefined) this.places.set(key, [at]);
      else places.push(at);
    });
    this.#results = new Array(keys.length);
    this.#ask = ask;
    this.#caller = new WaitQueue({
      what: `get ${keys.length} values from cache`,
      structure: "cache",
      name,
      behind: () => `${this.#missing} of them are being loaded`,
      onLeave: () => {
        for (const place of this.#joined) place.leave();
        for (const place of this.#joined) place.left();
        gaveUp(this.#caller.totals);
      },
    });
  }

  fulfil(key: K, value: V): void {
    this.#put(key, { status: "fulfilled", value });
  }

  refuse(key: K, reason: unknown): void {
    this.#put(key, { status: "rejected", reason });
  }

  /** Takes the value of a key from a load. */
  join(load: Load<K, V>): void {
    this.#missing++;
    const want = { lease: false, signal: this.#ask.signal, atMs: endMs(this.#ask) };
    const arrived = (settle: () => void): void => {
      settle();
      if (--this.#missing === 0) this.#caller.grant(this.#results);
    };
    this.#joined.push(
      load.queue.join(
        want,
        undefined,
        (value) => arrived(() => this.fulfil(load.key, value as V)),
        (reason) => arrived(() => this.refuse(load.key, reason)),
      ),
    );
    load.count();
  }

  wait(): Promise<PromiseSettledResult<V>[]> {
    return this.#missing === 0 ? Promise.resolve(this.#results) : this.#caller.wait(undefined, this.#ask);
  }

  #put(key: K, result: PromiseSettledResult<V>): void {
    for (const at of this.places.get(key)!) this.#results[at] = result;
  }
}
