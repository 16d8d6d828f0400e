/** Limits on rates that are not reached, for one and for many keys. */
import assert from "node:assert/strict";
import { RateLimiter } from "../../../src/flow/rate_limiter.ts";
import { sink } from "../../_measure.ts";
import { byHand, ours, type Row, theirs } from "../_rows.ts";

const PLENTY = 1_000_000_000;
const INTERVAL_MS = 1_000;

/** The theoretical arrival time of the next call, as a leaky bucket's meter. */
class HandGcra {
  readonly #stepMs: number;
  readonly #burstMs: number;
  #next = 0;

  constructor(limit: number) {
    this.#stepMs = INTERVAL_MS / limit;
    this.#burstMs = INTERVAL_MS;
  }

  take(): boolean {
    const now = performance.now();
    const next = Math.max(this.#next, now) + this.#stepMs;
    if (next - now > this.#burstMs) return false;
    this.#next = next;
    return true;
  }
}

/** The same for each key. */
class HandKeys {
  readonly #stepMs: number;
  readonly #next = new Map<string, number>();

  constructor(limit: number) {
    this.#stepMs = INTERVAL_MS / limit;
  }

  take(key: string): boolean {
    const now = performance.now();
    const next = Math.max(this.#next.get(key) ?? 0, now) + this.#stepMs;
    if (next - now > INTERVAL_MS) return false;
    this.#next.set(key, next);
    return true;
  }
}

interface LimiterModule {
  RateLimiter: new (options: { tokensPerInterval: number; interval: number }) => {
    tryRemoveTokens(count: number): boolean;
    removeTokens(count: number): Promise<number>;
  };
}
interface Flexible {
  consume(key: string): Promise<{ remainingPoints: number }>;
  delete(key: string): Promise<unknown>;
}
interface FlexibleModule {
  default: { RateLimiterMemory: new (options: { points: number; duration: number }) => Flexible };
}
interface QueueModule {
  default: new (options: { intervalCap: number; interval: number }) => {
    add<T>(fn: () => T): Promise<T>;
  };
}

/** Five go through, the sixth does not. */
async function checkFive(take: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 5; i++) assert.equal(await take(), true, `call ${i + 1} of 5 is refused`);
  assert.equal(await take(), false, "the sixth call of 5 goes through");
}

/** Whether it goes through without waiting for more than a moment. */
function atOnce(work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), 30);
    work.then(() => (clearTimeout(timer), resolve(true)), () => (clearTimeout(timer), resolve(false)));
  });
}

function make(limit: number): RateLimiter {
  return new RateLimiter({ limit, intervalMs: INTERVAL_MS });
}

const sync: Row = {
  kind: "time",
  name: "rate limiter: not reached, synchronous",
  size: 100_000,
  rivals: [
    byHand({
      async check() {
        const hand = new HandGcra(5);
        await checkFive(() => hand.take());
        return hand;
      },
      run(_, size) {
        const hand = new HandGcra(PLENTY);
        for (let i = 0; i < size; i++) sink(hand.take() ? 1 : 0);
      },
    }, "GCRA"),
    ours({
      async check() {
        const limiter = make(5);
        await checkFive(() => limiter.tryAcquire());
        return limiter;
      },
      run(_, size) {
        const limiter = make(PLENTY);
        for (let i = 0; i < size; i++) sink(limiter.tryAcquire() ? 1 : 0);
      },
    }, "tryAcquire"),
    theirs("limiter", ({ RateLimiter }: LimiterModule) => ({
      async check() {
        const limiter = new RateLimiter({ tokensPerInterval: 5, interval: INTERVAL_MS });
        await checkFive(() => limiter.tryRemoveTokens(1));
        return limiter;
      },
      run(_, size) {
        const limiter = new RateLimiter({ tokensPerInterval: PLENTY, interval: INTERVAL_MS });
        for (let i = 0; i < size; i++) sink(limiter.tryRemoveTokens(1) ? 1 : 0);
      },
    }), "tryRemoveTokens"),
  ],
};

const waiting: Row = {
  kind: "time",
  name: "rate limiter: not reached, awaited",
  size: 50_000,
  rivals: [
    byHand({
      check: () => new HandGcra(5),
      async run(_, size) {
        const hand = new HandGcra(PLENTY);
        // deno-lint-ignore require-await -- as a limiter that may wait would be
        const acquire = async (): Promise<boolean> => hand.take();
        for (let i = 0; i < size; i++) sink(await acquire() ? 1 : 0);
      },
    }, "GCRA"),
    ours({
      async check() {
        const limiter = make(5);
        await checkFive(() => atOnce(limiter.acquire({ maxWaitMs: 0 })));
        return limiter;
      },
      async run(_, size) {
        const limiter = make(PLENTY);
        for (let i = 0; i < size; i++) await limiter.acquire();
      },
    }, "acquire"),
    theirs("limiter", ({ RateLimiter }: LimiterModule) => ({
      async check() {
        const limiter = new RateLimiter({ tokensPerInterval: 5, interval: INTERVAL_MS });
        await checkFive(() => atOnce(limiter.removeTokens(1)));
        return limiter;
      },
      async run(_, size) {
        const limiter = new RateLimiter({ tokensPerInterval: PLENTY, interval: INTERVAL_MS });
        for (let i = 0; i < size; i++) sink(await limiter.removeTokens(1));
      },
    }), "removeTokens"),
    theirs("rate-limiter-flexible", ({ default: { RateLimiterMemory } }: FlexibleModule) => ({
      async check() {
        const limiter = new RateLimiterMemory({ points: 5, duration: 1 });
        await checkFive(() => atOnce(limiter.consume("key")));
        return limiter;
      },
      async run(_, size) {
        const limiter = new RateLimiterMemory({ points: PLENTY, duration: 60 });
        for (let i = 0; i < size; i++) sink((await limiter.consume("key")).remainingPoints);
        await limiter.delete("key");
      },
    }), "consume"),
    theirs("p-queue", ({ default: PQueue }: QueueModule) => ({
      async check() {
        const queue = new PQueue({ intervalCap: 5, interval: INTERVAL_MS });
        await checkFive(() => atOnce(queue.add(() => 1)));
        return queue;
      },
      async run(_, size) {
        const queue = new PQueue({ intervalCap: PLENTY, interval: INTERVAL_MS });
        for (let i = 0; i < size; i++) sink(await queue.add(() => 1));
      },
    }), "intervalCap"),
  ],
};

const KEYS = Array.from({ length: 10_000 }, (_, i) => `key/${i}`);

const keyed: Row = {
  kind: "time",
  name: "rate limiter: 10,000 keys in turn",
  size: 50_000,
  rivals: [
    byHand({
      check: () => new HandKeys(5),
      run(_, size) {
        const hand = new HandKeys(PLENTY);
        for (let i = 0; i < size; i++) sink(hand.take(KEYS[i % KEYS.length]!) ? 1 : 0);
      },
    }, "GCRA in a map"),
    ours({
      async check() {
        const limiter = make(5);
        await checkFive(() => limiter.tryAcquire({ key: "one" }));
        await checkFive(() => limiter.tryAcquire({ key: "two" }));
        return limiter;
      },
      run(_, size) {
        const limiter = make(PLENTY);
        for (let i = 0; i < size; i++) sink(limiter.tryAcquire({ key: KEYS[i % KEYS.length]! }) ? 1 : 0);
      },
    }, "tryAcquire"),
    theirs("rate-limiter-flexible", ({ default: { RateLimiterMemory } }: FlexibleModule) => ({
      async check() {
        const limiter = new RateLimiterMemory({ points: 5, duration: 1 });
        await checkFive(() => atOnce(limiter.consume("one")));
        await checkFive(() => atOnce(limiter.consume("two")));
        return limiter;
      },
      async run(_, size) {
        const limiter = new RateLimiterMemory({ points: PLENTY, duration: 2 });
        for (let i = 0; i < size; i++) sink((await limiter.consume(KEYS[i % KEYS.length]!)).remainingPoints);
        for (const key of KEYS) await limiter.delete(key);
      },
    }), "consume"),
  ],
};

const bytes: Row = {
  kind: "bytes",
  name: "rate limiter: bytes per key",
  size: 20_000,
  rivals: [
    byHand({
      hold(size) {
        const hand = new HandKeys(5);
        for (let i = 0; i < size; i++) hand.take(`key:${i}`);
        return { kept: hand };
      },
    }, "GCRA in a map"),
    ours({
      hold(size) {
        // An hour's interval: a key whose bucket is full again is forgotten.
        const limiter = new RateLimiter({ limit: 5, intervalMs: 3_600_000 });
        for (let i = 0; i < size; i++) limiter.tryAcquire({ key: `key:${i}` });
        return { kept: limiter };
      },
    }),
    theirs("rate-limiter-flexible", ({ default: { RateLimiterMemory } }: FlexibleModule) => ({
      async hold(size) {
        const limiter = new RateLimiterMemory({ points: 5, duration: 3_600 });
        for (let i = 0; i < size; i++) await limiter.consume(`key:${i}`);
        return {
          kept: limiter,
          async letGo() {
            for (let i = 0; i < size; i++) await limiter.delete(`key:${i}`);
          },
        };
      },
    })),
  ],
};

/** The rows of this file. */
export const rows: readonly Row[] = [sync, waiting, keyed, bytes];
