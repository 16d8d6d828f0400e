/**
 * Whatever happens to a batcher, in whatever order: every item that was accepted settles once, with its own result, and
 * no rule is broken for it.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { AsyncBatcher, ClosedError, QueueFullError, TimeoutError } from "../../src/flow/mod.ts";
import { type World, world } from "../../src/testing/mod.ts";

const REPLAY: { seed?: number; path?: string } = {};
const STEPS = 100_000;
const LONGEST = 400;

const options = fc.record({
  maxSize: fc.constantFrom(1, 2, 3, 5, Infinity),
  maxWeight: fc.constantFrom(4, 9, Infinity),
  maxWaitMs: fc.constantFrom(0, 0, 20, 50),
  quietMs: fc.constantFrom(Infinity, Infinity, 7),
  needsMs: fc.constantFrom(undefined, 5),
  maxPending: fc.constantFrom(1, 4, 10, Infinity),
  overflow: fc.constantFrom("wait" as const, "reject" as const),
  concurrency: fc.constantFrom(1, 2, 3),
  dedupe: fc.boolean(),
  bisect: fc.boolean(),
  kinds: fc.constantFrom(1, 1, 3),
  how: fc.constantFrom("array" as const, "map" as const, "settled" as const),
});
type Options = typeof options extends fc.Arbitrary<infer T> ? T : never;

/** One number for each step, as drawing many small ones takes longer than all the rest. */
const step = fc.nat(0x3fffffff);

interface Item {
  readonly key: number;
  readonly kind: number;
  readonly weight: number;
}

interface Call {
  readonly item: Item;
  readonly atMs: number;
  readonly limitMs: number;
  readonly controller: AbortController;
  /** How often it settled. */
  settled: number;
}

/** What functions fail with, on purpose. */
class Planned extends Error {}

class Play {
  readonly #w: World;
  readonly #options: Options;
  readonly #batcher: AsyncBatcher<Item, string>;
  readonly #calls: Call[] = [];
  readonly #outcomes: Promise<void>[] = [];
  readonly #flushes: Promise<unknown>[] = [];
  #running = 0;
  /** The next batches fail, or give something back that is no use. */
  #mood: "fine" | "throw" | "reject" | "short" | "missing" = "fine";
  #closed = false;

  constructor(w: World, options: Options) {
    this.#w = w;
    this.#options = options;
    const { kinds, how, dedupe, ...rest } = options;
    const given = {
      ...rest,
      dedupe: dedupe ? ({ key }: Item): number => key : false,
      weight: ({ weight }: Item): number => weight,
      ...(kinds > 1 ? { partition: ({ kind }: Item): number => kind } : {}),
    };
    this.#batcher = how === "settled"
      ? AsyncBatcher.ofSettled(async (items) => {
        const results = await this.#serve(items);
        return items.map((item) => {
          const value = results.get(item);
          return value === undefined
            ? { status: "rejected", reason: new Planned() }
            : { status: "fulfilled", value };
        });
      }, given)
      : new AsyncBatcher(async (items) => {
        const results = await this.#serve(items);
        if (how === "array") return items.map((item) => results.get(item) ?? new Planned());
        return new Map([...results].map(([item, value]) => [dedupe ? item.key : item, value]));
      }, given);
  }

  #serve(items: readonly Item[]): Promise<Map<Item, string>> {
    const { maxSize, maxWeight, concurrency, dedupe, kinds } = this.#options;
    assert.ok(items.length >= 1 && items.length <= maxSize, `${items.length} items`);
    assert.ok(items.reduce((sum, { weight }) => sum + weight, 0) <= maxWeight, "too heavy");
    assert.ok(++this.#running <= concurrency, `${this.#running} batches at once`);
    if (dedupe) assert.equal(new Set(items.map(({ key }) => key)).size, items.length, "equal items");
    if (kinds > 1) assert.equal(new Set(items.map(({ kind }) => kind)).size, 1, "kinds are mixed");
    const mood = this.#mood;
    if (mood === "throw") {
      this.#running--;
      throw new Planned();
    }
    return this.#work(items, mood).finally(() => this.#running--);
  }

  async #work(items: readonly Item[], mood: string): Promise<Map<Item, string>> {
    for (let turn = items[0]!.key % 4; turn > 0; turn--) await undefined;
    if (items.length % 2 === 1) await new Promise<void>((go) => this.#ends.push(go));
    if (mood === "reject") throw new Planned();
    if (mood === "short") items = items.slice(1);
    if (mood === "missing") items = items.filter(({ key }) => key % 2 === 0);
    return new Map(items.map((item) => [item, `result ${item.kind} ${item.key}`]));
  }

  /** Batches that wait for the word to end. */
  readonly #ends: (() => void)[] = [];

  take(n: number): Promise<void> | void {
    const [what, which] = [n % 24, Math.floor(n / 24)];
    if (what < 10) return this.#add(which);
    if (what < 12) {
      const one = this.#calls[which % (this.#calls.length || 1)];
      return void one?.controller.abort(`abort ${which}`);
    }
    if (what < 16) return void this.#ends.splice(which % (this.#ends.length || 1), 1)[0]?.();
    if (what < 17) {
      this.#flushes.push(
        this.#batcher.flush(which % 2 === 0 ? { timeoutMs: which % 30 } : {}).catch((error) => {
          assert.ok(error instanceof TimeoutError);
        }),
      );
      return;
    }
    if (what < 18) {
      return void (this.#mood = (["fine", "throw", "reject", "short", "missing"] as const)[which % 5]!);
    }
    if (what < 19) this.#mood = "fine";
    else if (what < 21) return this.#w.advance(which % 15);
    else if (what === 23 && which % 40 === 0) {
      this.#closed = true;
      this.#flushes.push(this.#batcher.close({ pending: which % 80 === 0 ? "reject" : "flush" }));
    } else return Promise.resolve();
  }

  #add(which: number): void {
    const item = {
      key: which % 11,
      kind: which % this.#options.kinds,
      weight: Math.floor(which / 11) % 5,
    };
    if (this.#options.maxWeight < item.weight) return;
    const limitMs = [0, 1, 15, 40, Infinity, Infinity, Infinity][Math.floor(which / 55) % 7]!;
    const call: Call = { item, atMs: this.#w.now, limitMs, controller: new AbortController(), settled: 0 };
    this.#calls.push(call);
    const { signal } = call.controller;
    const plain = limitMs === Infinity && which % 3 === 0;
    const adding = this.#batcher.add(item, plain ? undefined : { signal, timeoutMs: limitMs });
    const closed = this.#closed;
    this.#outcomes.push(adding.then(
      (value) => {
        call.settled++;
        assert.equal(value, `result ${item.kind} ${item.key}`, "somebody else's result");
        assert.ok(!closed);
      },
      (error) => {
        call.settled++;
        if (error instanceof TimeoutError) assert.equal(this.#w.now, call.atMs + limitMs);
        else if (error instanceof ClosedError) assert.ok(this.#closed);
        else if (error instanceof QueueFullError) assert.equal(this.#options.overflow, "reject");
        else if (typeof error === "string") assert.equal(error, signal.reason);
        else assert.ok(error instanceof Planned || /Shape|Missing/.test(error?.name), `${error}`);
      },
    ));
  }

  /** What holds whenever time stands still. */
  check(): void {
    const { pending, waiting, inUse, free, closed } = this.#batcher.statistics();
    const { maxPending, concurrency, maxWaitMs } = this.#options;
    assert.ok(pending <= maxPending);
    assert.ok(waiting === 0 || pending === maxPending, "somebody waits although there is room");
    assert.ok(inUse <= concurrency);
    assert.equal(free, closed ? 0 : concurrency - inUse);
    const windows = pending > 0 && inUse < concurrency;
    if (windows) assert.ok(maxWaitMs > 0, "items wait for nothing");
    if (windows) assert.ok(pending < this.#options.maxSize * this.#options.kinds);
    const ours = this.#w.timers.filter(({ atMs }) => atMs > this.#w.now + Math.max(maxWaitMs, 40));
    assert.deepEqual(ours, [], "a timer beyond every window and limit");
  }

  async end(): Promise<void> {
    this.#mood = "fine";
    const closing = this.#batcher.close();
    let closed = false;
    void closing.then(() => closed = true);
    for (let i = 0; !closed; i++) {
      assert.ok(i < 10_000, "it never closes");
      this.#ends.pop()?.();
      await undefined;
    }
    await Promise.all([...this.#outcomes, ...this.#flushes]);
    assert.ok(this.#calls.every(({ settled }) => settled === 1), "each settles once");
    const { fulfilled, failed, aborted, timedOut, refused, ...now } = this.#batcher.statistics();
    assert.deepEqual([now.pending, now.waiting, now.inUse, now.partitions], [0, 0, 0, 0]);
    const refusedAsClosed = this.#calls.length - (fulfilled + failed + aborted + timedOut + refused);
    assert.ok(
      this.#closed ? refusedAsClosed >= 0 : refusedAsClosed === 0,
      `${refusedAsClosed} are not accounted for`,
    );
    assert.deepEqual([this.#running, this.#w.timers.length], [0, 0]);
  }
}

describe("a batcher at random", () => {
  test("AsyncBatcher: every accepted item settles exactly once, with its own result, and all limits hold", async () => {
    let taken = 0;
    const kinds = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        options,
        fc.array(step, { minLength: 1, maxLength: LONGEST, size: "max" }),
        (options, steps) =>
          world(async (w) => {
            const play = new Play(w, options);
            for (const one of steps) {
              const turns = play.take(one);
              if (turns === undefined) continue;
              await turns;
              if (one % 24 < 21) continue;
              await w.idle();
              play.check();
            }
            taken += steps.length;
            kinds.add(options.how);
            await play.end();
          }, { auto: false }),
      ),
      { seed: 74, numRuns: Math.ceil(2.4 * STEPS / LONGEST), ...REPLAY },
    );
    if (REPLAY.path === undefined) assert.ok(taken >= STEPS && kinds.size === 3, `${taken} steps only`);
  });
});
