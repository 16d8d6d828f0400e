/** The synchronous half of a cache: what is in it, for how long, and what becomes of it. */
import { checkCount, checkDurationMs, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { emit, observed } from "../kernel/observer.ts";
import { Entries } from "./_cache_entries.ts";
import { Expiry } from "./_cache_expiry.ts";
import { Now } from "./_cache_now.ts";
import { type CacheSettings, tagList, type WriteOptions } from "./_cache_settings.ts";
import { NONE } from "./_cache_slots.ts";
import { Tags } from "./_cache_tags.ts";
import { Disposal } from "./_cache_disposal.ts";
import type { CacheRemoval } from "./async_cache_options.ts";

/** Stands in the place of a value: loading it failed, and that is remembered. */
export class KeptFailure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/**
 * Where an entry is in its life: `"fresh"`; `"stale"`: of use while it is loaded anew; `"failsafe"`: of use if that
 * fails; `"over"`.
 */
export type Phase = "fresh" | "stale" | "failsafe" | "over";

/** What is there for a key, and whether it should be loaded anew. */
export interface Found<V> {
  readonly value: V | KeptFailure;
  readonly again: boolean;
}

/** What may make the value of a load outdated. */
export interface LoadState {
  /** Whether its value may be stored: nothing newer was written, and nothing deleted, since. */
  readonly current: boolean;
  /** Tags with which it may not. */
  readonly suspects: ReadonlySet<string> | undefined;
}

/** Entries with all that is known of them. */
export class Store<K, V> extends Entries<K, V | KeptFailure> {
  readonly expiry: Expiry;
  /** Whether any entry may expire: that of the expiry, one step nearer. */
  expires = false;
  readonly tags = new Tags();
  /** Only where values are disposed. */
  readonly disposal: Disposal<K, V> | undefined;
  readonly now = new Now();
  hits = 0;
  staleHits = 0;
  misses = 0;
  evicted = 0;
  expired = 0;
  readonly #settings: CacheSettings<K, V>;
  readonly #doing: string;
  /** Whether a value needs nothing but its place. */
  readonly #plain: boolean;
  readonly #keepsFailures: boolean;
  /** The vain attempts to replace a value, by its slot. */
  readonly #vain = new Map<number, { attempts: number; pauseMs: number; untilMs: number }>();
  /** What is still to be told: not while entries are being moved. */
  #untold: { kind: "hit" | "miss" | "evict" | "expire"; key: K }[] = [];

  constructor(settings: CacheSettings<K, V>, disposed: () => void) {
    const { maxEntries, weigh, eviction, ttlMs, idleMs, graceMs, earlyRefresh, tags, dispose, name } =
      settings;
    super(maxEntries, weigh !== undefined, eviction);
    this.#settings = settings;
    this.#plain = weigh === undefined && ttlMs === Infinity && idleMs === Infinity && tags === undefined &&
      dispose === undefined && maxEntries > 0;
    this.#keepsFailures = settings.errorTtlMs !== 0;
    this.#doing = `write to ${subject("cache", name)}`;
    const due = (): void => this.#sweep();
    this.expiry = new Expiry({ idleMs, graceMs, timesLoads: earlyRefresh > 0, due });
    if (dispose !== undefined) this.disposal = new Disposal(dispose, name, disposed);
  }

  /** The slot of a fresh value or failure, or `NONE`; the same as in the index where nothing expires. */
  freshSlot(key: K): number {
    const slot = this.index.get(key);
    if (slot === undefined || !this.expires) return slot ?? NONE;
    const nowMs = this.now.readMs();
    if (!(nowMs < this.expiry.freshUntil[slot]!)) return NONE;
    this.expiry.used(slot, nowMs);
    return slot;
  }

  /** The slot of an entry that is of any use, or `NONE`; takes out one that is not. */
  slotOf(key: K): number {
    const slot = this.#usableSlot(key);
    if (slot === NONE) this.deliver();
    return slot;
  }

  phaseOf(slot: number): Phase {
    if (!this.expires) return "fresh";
    const { staleWhileRevalidateMs, staleIfErrorMs } = this.#settings;
    const until = this.expiry.freshUntil[slot]!;
    const nowMs = this.now.readMs();
    if (nowMs < until) return "fresh";
    if (this.values[slot] instanceof KeptFailure) return "over";
    if (nowMs < until + staleWhileRevalidateMs) return "stale";
    return nowMs < until + staleIfErrorMs ? "failsafe" : "over";
  }

  /** Whether the value of an entry may be given out as loading it anew has failed. */
  servesForError(slot: number): boolean {
    const { staleIfErrorMs } = this.#settings;
    return staleIfErrorMs > 0 &&
      (!this.expires || this.now.readMs() < this.expiry.freshUntil[slot]! + staleIfErrorMs);
  }

  /** Counts a read, a kept failure as none that found a value, and tells of it. @returns What is in the slot. */
  hit(slot: number): V | KeptFailure {
    const value = this.#read(slot);
    if (this.#untold.length > 0) this.deliver();
    return value;
  }

  /**
   * What answers somebody who asks for a value now, and does not insist on a new one; counts the read. To be followed by
   * {@linkcode deliver}, once what was found is held or waited for: who is told may take it out.
   */
  look(key: K, refresh: boolean): Found<V> | undefined {
    const slot = refresh ? NONE : this.#usableSlot(key);
    const phase = slot === NONE ? "over" : this.phaseOf(slot);
    if (phase === "fresh") {
      const again = this.#isEarly(slot);
      this.freshSlot(key); // which extends its idle limit
      return { value: this.#read(slot), again };
    }
    const mayReload = phase === "over" || this.#mayReload(slot);
    if (phase === "stale" || (phase === "failsafe" && !mayReload)) {
      this.staleHits++;
      return { value: this.#read(slot), again: mayReload };
    }
    this.missed(key);
    return undefined;
  }

  /** Counts a read that found no value; to be followed by {@linkcode deliver}. */
  missed(key: K): void {
    this.misses++;
    if (observed()) this.#untold.push({ kind: "miss", key });
  }

  /**
   * Writes a value, as far as it may be in.
   *
   * @param from The load that has brought it, which may turn out to be outdated while the user is asked.
   */
  put(key: K, value: V, options: WriteOptions | undefined, loadMs = 0, from?: LoadState): void {
    if (this.#plain && options === undefined && !this.expires && this.tags.size === 0) {
      const slot = this.index.get(key);
      if (slot === undefined) return void this.#insert(key, value, 0);
      this.values[slot] = value;
      return this.used(slot);
    }
    const { weigh, tags } = this.#settings;
    let { ttlMs } = this.#settings;
    let weight = 0;
    let tagged: readonly string[] | undefined;
    // Code of others comes first: what it throws changes nothing, and what it changes is seen.
    if (weigh !== undefined) {
      weight = weigh(value, key);
      checkCount(this.#doing, "the weight", weight, 0);
    }
    if (options?.ttlMs !== undefined) ttlMs = options.ttlMs;
    else if (typeof ttlMs === "function") {
      ttlMs = ttlMs(value, key);
      checkDurationMs(this.#doing, "ttlMs", ttlMs);
    }
    if (tags !== undefined) tagged = tagList(this.#doing, tags(value, key));
    if (options?.tags !== undefined) {
      tagged = tagged === undefined ? options.tags : [...tagged, ...options.tags];
    }
    if (from !== undefined && (!from.current || tagged?.some((tag) => from.suspects?.has(tag)))) return;
    this.#place(key, value, weight, ttlMs, loadMs, tagged);
  }

  /** Remembers that loading the value of a key failed. */
  putFailure(key: K, error: unknown): void {
    let { errorTtlMs } = this.#settings;
    if (typeof errorTtlMs === "function") {
      errorTtlMs = errorTtlMs(error, key);
      checkDurationMs(this.#doing, "errorTtlMs", errorTtlMs);
    }
    const slot = this.index.get(key);
    // What was asked for the time may have set a value, which stands.
    if (slot !== undefined && !(this.values[slot] instanceof KeptFailure)) return;
    if (errorTtlMs > 0) this.#place(key, new KeptFailure(error), 1, errorTtlMs, 0, undefined);
  }

  /** Loading a value anew has failed. */
  inVain(slot: number): void {
    const { attempts, pauseMs: previousMs } = this.#vain.get(slot) ?? { attempts: 0, pauseMs: undefined };
    const pauseMs = this.#settings.pauseMs(attempts + 1, previousMs);
    this.#vain.set(slot, { attempts: attempts + 1, pauseMs, untilMs: clock().now() + pauseMs });
  }

  /** Takes an entry out; to be followed by {@linkcode deliver}. */
  out(slot: number, reason: CacheRemoval): void {
    const key = this.keys[slot] as K;
    const value = this.values[slot] as V | KeptFailure;
    this.remove(slot, reason === "evicted");
    this.expiry.removed(slot);
    this.#forget(slot);
    this.#letGo(value, key, reason);
    if (reason === "evicted") this.evicted++;
    else if (reason === "expired") this.expired++;
    if (observed()) {
      if (reason === "evicted") this.#untold.push({ kind: "evict", key });
      else if (reason === "expired") this.#untold.push({ kind: "expire", key });
    }
    if (this.size === 0) this.expiry.stop();
  }

  /** Takes everything out. */
  clear(reason: CacheRemoval): void {
    if (this.disposal !== undefined) {
      for (const [key, slot] of this.index) {
        this.#letGo(this.values[slot] as V | KeptFailure, key, reason);
      }
    }
    this.removeAll();
    this.eviction.cleared();
    this.tags.clear();
    this.#vain.clear();
    this.expiry.stop();
    this.deliver();
  }

  /** Tells and disposes what has gone: at the end of everything that takes entries out. */
  deliver(): void {
    if (this.#untold.length > 0) {
      for (const { kind, key } of this.#untold.splice(0)) emit(kind, "cache", this.#settings.name, { key });
    }
    this.disposal?.flush();
  }

  protected override grow(capacity: number): void {
    super.grow(capacity);
    this.expiry.grow(capacity);
  }

  #usableSlot(key: K): number {
    const slot = this.index.get(key);
    if (slot === undefined) return NONE;
    if (this.phaseOf(slot) !== "over") return slot;
    this.out(slot, "expired");
    return NONE;
  }

  #read(slot: number): V | KeptFailure {
    const value = this.values[slot] as V | KeptFailure;
    this.used(slot);
    if (this.#keepsFailures && value instanceof KeptFailure) this.missed(this.keys[slot] as K);
    else {
      this.hits++;
      if (observed()) this.#untold.push({ kind: "hit", key: this.keys[slot] as K });
    }
    return value;
  }

  #place(
    key: K,
    value: V | KeptFailure,
    weight: number,
    ttlMs: number,
    loadMs: number,
    tags: readonly string[] | undefined,
  ): void {
    const { maxEntries, maxWeight, idleMs, graceMs } = this.#settings;
    const before = this.index.get(key) ?? NONE;
    const fits = weight <= maxWeight && weight < Infinity && maxEntries > 0;
    if (!fits || Math.min(ttlMs, idleMs) + graceMs <= 0) {
      if (before !== NONE) this.out(before, "replaced");
      return;
    }
    // Before the old one is let go: it may be the same.
    if (this.disposal !== undefined && !(value instanceof KeptFailure)) this.disposal.hold(value);
    let slot = before;
    if (before !== NONE && this.weight - this.weightOf(before) + weight <= maxWeight) {
      const old = this.values[slot] as V | KeptFailure;
      this.values[slot] = value;
      this.setWeight(slot, weight);
      this.used(slot);
      this.#forget(slot);
      if (this.disposal !== undefined) this.#letGo(old, key, "replaced");
    } else {
      if (before !== NONE) this.out(before, "replaced");
      slot = this.#insert(key, value, weight);
    }
    if (tags !== undefined) this.tags.set(slot, tags);
    if (this.expires || ttlMs !== Infinity || idleMs !== Infinity) {
      this.expires = true;
      // Not the reading that reads share: it counts from now, however long the turn has taken.
      this.expiry.written(slot, clock().now(), this.#scattered(ttlMs), loadMs);
    }
  }

  /** Whether a fresh value should be loaded anew already. */
  #isEarly(slot: number): boolean {
    const { earlyRefresh } = this.#settings;
    return earlyRefresh > 0 && this.expires &&
      this.expiry.isEarly(slot, this.now.readMs(), earlyRefresh);
  }

  /** Whether a stale value may be loaded anew: not right after that has failed. */
  #mayReload(slot: number): boolean {
    const vain = this.#vain.get(slot);
    return vain === undefined || clock().now() >= vain.untilMs;
  }

  /** Adds an entry whose key is not in, and makes room for it first. */
  #insert(key: K, value: V | KeptFailure, weight: number): number {
    const { maxEntries, maxWeight } = this.#settings;
    while (this.size >= maxEntries || this.weight + weight > maxWeight) {
      this.out(this.eviction.victim(), "evicted");
    }
    return this.add(key, value, weight);
  }

  #scattered(ttlMs: number): number {
    const { jitter } = this.#settings;
    return jitter === 0 || ttlMs === Infinity ? ttlMs : ttlMs * (1 - jitter * clock().random());
  }

  /** Forgets what was known of an entry beside its value. */
  #forget(slot: number): void {
    this.tags.remove(slot);
    if (this.#vain.size > 0) this.#vain.delete(slot);
  }

  #letGo(value: V | KeptFailure, key: K, reason: CacheRemoval): void {
    if (!(value instanceof KeptFailure)) this.disposal?.drop(value, key, reason);
  }

  #sweep(): void {
    for (const slot of this.expiry.collect(this.top)) this.out(slot, "expired");
    this.deliver();
  }
}
