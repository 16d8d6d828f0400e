/** One caller who waits for several loads at once. */
import { WaitQueue } from "../kernel/wait_queue.ts";
import type { Place } from "../kernel/wait_queue.ts";
import { type Ask, endMs } from "./_cache_ask.ts";
import { askingFor, Call, type Load } from "./_cache_load.ts";
import type { Loads } from "./_cache_loads.ts";
import { KeptFailure, type Store } from "./_cache_store.ts";
import type { CacheLoad, CacheLoadMany } from "./async_cache_options.ts";

/** The results of several keys, in their order, and the wait for those that are not there yet. */
class Many<K, V> {
  /** Each key once, with its places in the results. */
  readonly places = new Map<K, number[]>();
  readonly #results: PromiseSettledResult<V>[];
  readonly #ask: Ask;
  readonly #joined: Place[] = [];
  #missing = 0;
  #left = false;
  readonly #gaveUp: (totals: { aborted: number; timedOut: number }) => void;
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
    this.#gaveUp = gaveUp;
    this.#caller = new WaitQueue({
      what: `get ${keys.length} values from cache`,
      structure: "cache",
      name,
      behind: () => `${this.#missing} of them are being loaded`,
      onLeave: () => this.#leave(),
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
    if (this.#missing === 0) return Promise.resolve(this.#results);
    const waiting = this.#caller.wait(undefined, this.#ask);
    if (this.#ask.signal?.aborted) this.#leave(); // An observer that was told of the joining has aborted it.
    return waiting;
  }

  #leave(): void {
    if (this.#left) return;
    this.#left = true;
    for (const place of this.#joined) place.leave();
    for (const place of this.#joined) place.left();
    this.#gaveUp(this.#caller.totals);
  }

  #put(key: K, result: PromiseSettledResult<V>): void {
    for (const at of this.places.get(key)!) this.#results[at] = result;
  }
}

/** The parts of a cache that serve a call for several keys. */
export interface ManySource<K, V> {
  readonly store: Store<K, V>;
  readonly loads: Loads<K, V>;
  /** Loads what is missing: all of it together, or else one by one. */
  readonly loadMany: CacheLoadMany<K, V> | undefined;
  readonly load: CacheLoad<K, V> | undefined;
}

/** Answers a call for several keys: with what is there, what is under way, and what has to be loaded. */
export function getMany<K, V>(
  keys: readonly K[],
  { store, loads, loadMany, load }: ManySource<K, V>,
  ask: Ask,
): Promise<PromiseSettledResult<V>[]> {
  const many = new Many<K, V>(keys, ask, loads.name, (totals) => loads.count(totals));
  const asking = askingFor(ask.signal);
  const waitsFor = new Set<Call>();
  const begin: Call[] = [];
  const together = loadMany === undefined ? undefined : new Call();
  const open = (key: K): Load<K, V> => {
    const call = together ?? new Call();
    if (begin.at(-1) !== call) begin.push(call);
    return loads.open(key, call, ask.write);
  };
  for (const key of many.places.keys()) {
    const found = store.look(key, ask.refresh);
    if (found === undefined) {
      const under = loads.find(key);
      if (under !== undefined) loads.joined++;
      const load = under ?? open(key);
      if (asking !== undefined && load.call.needs(asking)) many.refuse(key, loads.cycle(key));
      else {
        many.join(load);
        waitsFor.add(load.call);
      }
    } else if (found.value instanceof KeptFailure) many.refuse(key, found.value.error);
    else {
      many.fulfil(key, found.value);
      if (found.again && loads.find(key) === undefined) open(key).background = true;
    }
  }
  // First the wait: the loader may do anything, such as to abort this very call.
  const waiting = many.wait();
  if (asking !== undefined) { for (const call of waitsFor) asking.waitFor(call, waiting); }
  store.deliver();
  for (const call of begin) {
    if (loadMany !== undefined) loads.beginMany(call, loadMany);
    else loads.begin(call, load!);
  }
  return waiting;
}
