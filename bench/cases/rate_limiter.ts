import assert from "node:assert/strict";
import { RateLimiter } from "../../src/flow/rate_limiter.ts";
import { type Case, sink } from "../_measure.ts";

const TIMES = 50_000;
const KEYS = 10_000;

/** The algorithm and nothing else: one number, one look at the clock. */
class HandGcra {
  readonly #step: number;
  readonly #span: number;
  #until = 0;

  constructor(limit: number, intervalMs: number) {
    this.#step = intervalMs / limit;
    this.#span = intervalMs;
  }

  tryAcquire(): boolean {
    const now = performance.now();
    const until = (this.#until > now ? this.#until : now) + this.#step;
    if (until - this.#span > now) return false;
    this.#until = until;
    return true;
  }

  acquire(): Promise<void> {
    if (this.tryAcquire()) return READY;
    return new Promise((resolve) => {
      const now = performance.now();
      this.#until += this.#step;
      setTimeout(resolve, this.#until - this.#span - now);
    });
  }
}

const READY = Promise.resolve();

/** The same with a number for each key, kept for good. */
class HandKeyedGcra {
  readonly #step: number;
  readonly #span: number;
  readonly #until = new Map<string, { until: number }>();

  constructor(limit: number, intervalMs: number) {
    this.#step = intervalMs / limit;
    this.#span = intervalMs;
  }

  tryAcquire(key: string): boolean {
    const now = performance.now();
    let entry = this.#until.get(key);
    if (entry === undefined) this.#until.set(key, entry = { until: 0 });
    const until = (entry.until > now ? entry.until : now) + this.#step;
    if (until - this.#span > now) return false;
    entry.until = until;
    return true;
  }
}

const keys = Array.from({ length: KEYS }, (_, i) => `user/${i}`);
const wide = { limit: 1_000_000, intervalMs: 1_000 };
const narrow = { limit: 10, intervalMs: 60_000 };

async function check(): Promise<unknown> {
  const ours = new RateLimiter(narrow);
  const hand = new HandGcra(narrow.limit, narrow.intervalMs);
  const keyed = new RateLimiter(narrow);
  const handKeyed = new HandKeyedGcra(narrow.limit, narrow.intervalMs);
  const ways = [
    () => ours.tryAcquire(),
    () => hand.tryAcquire(),
    () => keyed.tryAcquire({ key: "a" }),
    () => handKeyed.tryAcquire("a"),
  ];
  for (const way of ways) {
    let granted = 0;
    for (let i = 0; i < 50; i++) if (way()) granted++;
    assert.equal(granted, narrow.limit);
  }
  assert.ok(keyed.tryAcquire({ key: "b" }));
  const fast = new RateLimiter({ limit: 1, intervalMs: 20 });
  const from = performance.now();
  for (let i = 0; i < 3; i++) await fast.acquire();
  assert.ok(performance.now() - from >= 38);
  return [...ways, fast];
}

export const cases: readonly Case[] = [
  {
    name: "rate limiter: tryAcquire",
    ops: TIMES,
    target: 1.2,
    check,
    minimum() {
      const limiter = new HandGcra(wide.limit, wide.intervalMs);
      for (let i = 0; i < TIMES; i++) if (limiter.tryAcquire()) sink(1);
    },
    ours() {
      const limiter = new RateLimiter(wide);
      for (let i = 0; i < TIMES; i++) if (limiter.tryAcquire()) sink(1);
    },
  },
  {
    name: "rate limiter: acquire, free",
    ops: TIMES,
    target: 1.3,
    check,
    async minimum() {
      const limiter = new HandGcra(wide.limit, wide.intervalMs);
      for (let i = 0; i < TIMES; i++) await limiter.acquire();
    },
    async ours() {
      const limiter = new RateLimiter(wide);
      for (let i = 0; i < TIMES; i++) await limiter.acquire();
    },
  },
  {
    name: "rate limiter: 10,000 keys in turn",
    ops: TIMES,
    target: 1.5,
    check,
    minimum() {
      const limiter = new HandKeyedGcra(narrow.limit, narrow.intervalMs);
      for (let i = 0; i < TIMES; i++) if (limiter.tryAcquire(keys[i % KEYS]!)) sink(1);
    },
    ours() {
      const limiter = new RateLimiter(narrow);
      for (let i = 0; i < TIMES; i++) if (limiter.tryAcquire({ key: keys[i % KEYS]! })) sink(1);
    },
  },
];
