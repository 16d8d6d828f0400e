/** The asynchronous half of a cache: the loads under way, from the first who wants one to its answer. */
import { show, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { ignore } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { ownAbort } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import { type Ask, endMs } from "./_cache_ask.ts";
import { askingFor, Call, Load, type LoadOwner } from "./_cache_load.ts";
import type { CacheSettings, WriteOptions } from "./_cache_settings.ts";
import { NONE } from "./_cache_slots.ts";
import { KeptFailure, type Store } from "./_cache_store.ts";
import { ValueLease } from "./_cache_disposal.ts";
import { BatchShapeError } from "./batch_shape_error.ts";
import type { CacheBulk, CacheLoad, CacheLoadMany } from "./async_cache_options.ts";
import { CycleError } from "./cycle_error.ts";

/** Who loads what for whom. */
export class Loads<K, V> implements LoadOwner {
  readonly name: string | undefined;
  /** Those not ended, given up or not. */
  readonly calls = new Set<Call>();
  leases = 0;
  /** Calls that wait for a load which another call had begun. */
  joined = 0;
  started = 0;
  failed = 0;
  closed = false;
  /** Of loads that have ended; see {@linkcode totals}. */
  readonly #ended: Totals = { aborted: 0, timedOut: 0 };
  readonly #store: Store<K, V>;
  readonly #settings: CacheSettings<K, V>;
  readonly #changed: () => void;
  /** By key, those whose value may still be stored. */
  readonly #current = new Map<K, Load<K, V>>();

  /** `changed` is told whenever there is less to wait for. */
  constructor(store: Store<K, V>, settings: CacheSettings<K, V>, changed: () => void) {
    this.name = settings.name;
    this.#store = store;
    this.#settings = settings;
    this.#changed = changed;
  }

  /** The load of a key that somebody who asks now may share. */
  find(key: K): Load<K, V> | undefined {
    const load = this.#current.get(key);
    // One that may bring back what was deleted by a tag is good for those only who had asked before.
    return load?.suspects === undefined ? load : undefined;
  }

  /** Makes the load of a key; the call is to be begun afterwards. */
  open(key: K, call: Call, write: WriteOptions | undefined): Load<K, V> {
    // Again, if a listener of the older load, aborted by that, has asked for the key.
    while (this.#current.has(key)) this.detach(key);
    const load = new Load<K, V>(key, call, this as LoadOwner, write);
    this.#current.set(key, load);
    this.calls.add(call);
    return load;
  }

  /** Calls the loader of a call with one load. */
  begin(call: Call, load: CacheLoad<K, V>): void {
    const one = call.loads[0] as Load<K, V>;
    if (!this.#announce(call)) return;
    const loadMs = this.#stopwatch();
    call.run(() => load(one.key, call)).then(
      (value) => this.#ends(call, () => this.#arrived(one, value, loadMs())),
      (error) => this.#ends(call, () => this.#failed(one, error)),
    );
  }

  /** Calls the loader of a call with several loads. */
  beginMany(call: Call, load: CacheLoadMany<K, V>): void {
    const all = call.loads as Load<K, V>[];
    if (!this.#announce(call)) return;
    const loadMs = this.#stopwatch();
    call.run(() => load(all.map(({ key }) => key), call)).then(
      (bulk) => this.#ends(call, () => this.#handOut(all, bulk, loadMs())),
      (error) => this.#ends(call, () => all.forEach((one) => this.#failed(one, error))),
    );
  }

  /** Loads a value anew for the cache itself, unless that is under way. */
  refresh(key: K, load: CacheLoad<K, V>, write: WriteOptions | undefined): void {
    if (this.closed || this.find(key) !== undefined) return;
    const call = new Call();
    this.open(key, call, write).background = true;
    this.begin(call, load);
  }

  /** Waits for a load, for a lease on its value or the value alone. */
  wait(load: Load<K, V>, ask: Ask, lease: boolean): Promise<V | ValueLease<V>> {
    const asking = askingFor(ask.signal);
    if (asking !== undefined && load.call.needs(asking)) return Promise.reject(this.cycle(load.key));
    let waiting: Promise<V | ValueLease<V>>;
    if (!lease && ask.signal === undefined && ask.timeoutMs === undefined) waiting = load.share();
    else {
      waiting = load.queue.wait({ lease, signal: ask.signal, atMs: endMs(ask) }, ask);
      load.count();
    }
    asking?.waitFor(load.call, waiting);
    return waiting;
  }

  cycle(key: K): CycleError {
    return new CycleError(
      `Cannot get ${show(key)} from ${subject("cache", this.name)}: its own load waits for this very value`,
      { key },
    );
  }

  /** Lends a value that is in the cache, or comes from a load. */
  lend(key: K, value: V): ValueLease<V> {
    const store = this.#store;
    this.leases++;
    store.disposal?.hold(value);
    return new ValueLease({
      giveBack: () => {
        this.leases--;
        store.disposal?.drop(value, key);
        store.deliver();
        this.#changed();
      },
      describe: () => `value ${show(key)} of ${subject("cache", this.name)}`,
    }, value);
  }

  /** A waiter has given up; without anybody left who wants it, so is the call. */
  left(load: Load<unknown, unknown>): void {
    load.count();
    this.#giveUp(load.call);
  }

  /** Something newer than what a load may bring has happened: it answers those who wait, and is not stored. */
  detach(key: K): void {
    const load = this.#current.size === 0 ? undefined : this.#current.get(key);
    if (load === undefined) return;
    this.#current.delete(key);
    load.current = false;
    load.background = false;
    this.#giveUp(load.call);
  }

  /** The keys of loads whose value may still be stored. */
  keys(): K[] {
    return [...this.#current.keys()];
  }

  /** What carries a tag was deleted: that may be what a load will bring. */
  suspect(tag: string): void {
    for (const [key, load] of [...this.#current]) {
      if (load.write?.tags?.includes(tag)) this.detach(key);
      else if (this.#settings.tags !== undefined) (load.suspects ??= new Set()).add(tag);
    }
  }

  /** Answers everybody with `error`, and aborts all calls. */
  abortAll(error: Error): void {
    for (const call of [...this.calls]) {
      for (const load of call.loads) if (!load.over) load.fail(error);
      call.abort(ownAbort(`Cannot go on loading into ${subject("cache", this.name)}: it is closed`, error));
    }
  }

  /** How many waits were given up, and how many reached their limit. */
  totals(): Totals {
    const totals = { ...this.#ended };
    for (const call of this.calls) tally(call, totals);
    return totals;
  }

  /** Counts a wait that is not for one load. */
  count(totals: Totals): void {
    add(this.#ended, totals);
  }

  /** Counts and tells of loads that begin now. @returns Whether anybody wants them still, when all know. */
  #announce(call: Call): boolean {
    if (call.end === undefined) {
      this.started += call.loads.length;
      for (const { key } of observed() ? call.loads : []) emit("load", "cache", this.name, { key });
    }
    if (call.end === undefined) return true;
    this.#ends(call, ignore);
    return false;
  }

  #giveUp(call: Call): void {
    if (call.wanted > 0 || call.end !== undefined) return;
    for (const load of call.loads as Load<K, V>[]) {
      load.over = true;
      if (this.#current.get(load.key) === load) this.#current.delete(load.key);
    }
    call.abort(
      ownAbort(`Cannot go on loading into ${subject("cache", this.name)}: nobody waits for it any more`),
    );
  }

  #ends(call: Call, answer: () => void): void {
    answer();
    this.#store.deliver();
    this.calls.delete(call);
    tally(call, this.#ended);
    this.#changed();
  }

  #handOut(loads: readonly Load<K, V>[], bulk: CacheBulk<K, V>, loadMs: number): void {
    const byKey = bulk instanceof Map;
    if (!byKey && !(Array.isArray(bulk) && bulk.length === loads.length)) {
      if (Array.isArray(bulk)) bulk.forEach((value, i) => this.#discard(value, loads[i]?.key));
      const error = this.#shapeError(loads.length, bulk);
      for (const load of loads) this.#failed(load, error);
      return;
    }
    for (let i = 0; i < loads.length; i++) {
      const load = loads[i]!;
      const result: V | Error = byKey ? bulk.get(load.key) : (bulk as readonly (V | Error)[])[i];
      if (result instanceof Error) this.#failed(load, result);
      else if (byKey && !bulk.has(load.key)) {
        this.#failed(load, this.#shapeError(loads.length, bulk, load.key));
      } else this.#arrived(load, result as V, loadMs);
    }
    if (!byKey || this.#store.disposal === undefined) return;
    const asked = new Set(loads.map(({ key }) => key));
    for (const [key, value] of bulk) if (!asked.has(key)) this.#discard(value, key);
  }

  /** Disposes what a bulk load brought for nobody. */
  #discard(value: V | Error, key: K | undefined): void {
    const { disposal } = this.#store;
    if (disposal === undefined || value instanceof Error) return;
    disposal.hold(value);
    disposal.drop(value, key as K, "unwanted");
  }

  #arrived(load: Load<K, V>, value: V, loadMs: number): void {
    const { disposal } = this.#store;
    const { key } = load;
    // For as long as it takes: what is written may be evicted right away.
    disposal?.hold(value);
    if (load.over) return disposal?.drop(value, key, "unwanted");
    try {
      // Still one of those under way: what the user is asked on the way may outdate it.
      if (load.current && !this.closed) this.#store.put(key, value, load.write, loadMs, load);
    } catch (error) {
      disposal?.drop(value, key, "unwanted");
      return this.#refuse(load, error, this.#settle(load));
    }
    this.#settle(load);
    const { shared } = load;
    load.succeed(value, () => this.lend(key, value));
    // One that is not in the cache is of those who got it, unless all of them will give it back.
    disposal?.drop(value, key, shared ? undefined : "unwanted");
  }

  #failed(load: Load<K, V>, error: unknown): void {
    if (!load.over) return this.#refuse(load, error, this.#settle(load));
    const { end } = load.call;
    if (end === undefined || !isEcho(error, end)) emit("late.failure", "cache", this.name, { error });
  }

  /** Answers those who wait for a load that has failed: with what is there still, if that is allowed. */
  #refuse(load: Load<K, V>, error: unknown, current: boolean): void {
    const { key } = load;
    const store = this.#store;
    this.failed++;
    const slot = current ? store.slotOf(key) : NONE;
    const value = slot === NONE ? undefined : store.values[slot];
    const replaces = slot !== NONE && !(value instanceof KeptFailure);
    if (replaces) {
      store.inVain(slot);
      if (load.awaited && store.servesForError(slot)) this.#serveStale(load, value as V);
      else load.fail(error);
    } else {
      let answer = error;
      try {
        if (current) store.putFailure(key, error);
      } catch (wrong) {
        answer = wrong;
      }
      load.fail(answer);
    }
    // At the end, as whoever is told may do anything with the entry.
    emit(replaces ? "refresh.failed" : "load.failed", "cache", this.name, { key, error });
  }

  #serveStale(load: Load<K, V>, value: V): void {
    const { disposal } = this.#store;
    disposal?.hold(value); // For as long as it takes to lend it to all.
    this.#store.staleHits++;
    load.succeed(value, () => this.lend(load.key, value));
    disposal?.drop(value, load.key);
  }

  /** Takes a load out that is about to be answered. @returns Whether its value may be stored. */
  #settle(load: Load<K, V>): boolean {
    if (!load.current || this.closed) return false;
    this.#current.delete(load.key);
    return true;
  }

  #shapeError(expected: number, bulk: CacheBulk<K, V>, key?: K): BatchShapeError {
    const actual = Array.isArray(bulk) ? bulk.length : bulk instanceof Map ? bulk.size : undefined;
    const of = `of ${subject("cache", this.name)}`;
    const message = key === undefined
      ? `Cannot hand out the values ${of} as they must be an array of ${expected} or a Map: received ${
        show(bulk)
      }`
      : `Cannot hand out the values ${of} as each key must have one: received a Map without ${show(key)}`;
    return new BatchShapeError(message, { expected, actual });
  }

  /** Measures how long a load takes, where anybody wants to know. */
  #stopwatch(): () => number {
    if (this.#settings.earlyRefresh === 0) return zero;
    const sinceMs = clock().now();
    return () => clock().now() - sinceMs;
  }
}

function zero(): number {
  return 0;
}

interface Totals {
  aborted: number;
  timedOut: number;
}

function tally(call: Call, totals: Totals): void {
  for (const load of call.loads) if (load.totals !== undefined) add(totals, load.totals);
}

function add(totals: Totals, more: Totals): void {
  totals.aborted += more.aborted;
  totals.timedOut += more.timedOut;
}
