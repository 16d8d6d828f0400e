import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { clock, replaceClock, wallNow } from "../../src/kernel/clock.ts";

const LONGEST = 2 ** 31 - 1;

interface PlatformTimer {
  readonly at: number;
  readonly delay: number;
  readonly run: () => void;
  ref: boolean;
}

/** Timers and `performance.now` as somebody's fake timers replace them, until disposed. */
class FakeTimers implements Disposable {
  /** What fake time it is. */
  time = 0;
  /** How many timers were set so far. */
  set = 0;
  readonly pending = new Set<PlatformTimer>();
  readonly #restore: (() => void)[] = [];

  constructor(options: { movesPerformance: boolean }) {
    const start = performance.now();
    this.#replace(globalThis, "setTimeout", (run: () => void, delay: number) => {
      this.set++;
      const at = this.time + (delay > LONGEST ? 1 : Math.max(0, delay));
      const timer = { at, delay, run, ref: true, unref: () => void (timer.ref = false) };
      this.pending.add(timer);
      return timer;
    });
    this.#replace(globalThis, "clearTimeout", (timer: PlatformTimer) => this.pending.delete(timer));
    this.#replace(performance, "now", () => options.movesPerformance ? start + this.time : start);
  }

  /** Lets so much time pass, firing what is due on the way. */
  tick(ms: number): void {
    const until = this.time + ms;
    for (;;) {
      const [first] = [...this.pending].sort((a, b) => a.at - b.at);
      if (first === undefined || first.at > until) break;
      this.pending.delete(first);
      this.time = first.at;
      first.run();
    }
    this.time = until;
  }

  [Symbol.dispose](): void {
    for (const restore of this.#restore.splice(0)) restore();
  }

  #replace(target: object, key: string, value: unknown): void {
    const own = Object.getOwnPropertyDescriptor(target, key);
    Object.defineProperty(target, key, { value, configurable: true, writable: true });
    this.#restore.push(() => {
      if (own === undefined) Reflect.deleteProperty(target, key);
      else Object.defineProperty(target, key, own);
    });
  }
}

/** Schedules on the clock in force, so many milliseconds from now. */
function after(ms: number, run: () => void, ref = true): Disposable {
  return clock().schedule(clock().now() + ms, run, { ref });
}

/** Lets the microtasks run out, which is when an idle clock lets go of its timer. */
async function microtasks(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

for (const movesPerformance of [true, false]) {
  const kind = movesPerformance ? "a moving" : "a standing";

  describe(`clock, under fake timers with ${kind} performance.now`, () => {
    test("runs each timer at its time, those due together in the order in which they were made", () => {
      using fake = new FakeTimers({ movesPerformance });
      const ran: [string, number][] = [];
      const note = (name: string) => (): void => void ran.push([name, fake.time]);
      after(300, note("c"));
      after(100, note("a"));
      after(200, note("b1"));
      after(200, note("b2"));
      assert.equal(fake.pending.size, 1);
      fake.tick(99);
      assert.deepEqual(ran, []);
      fake.tick(301);
      assert.deepEqual(ran, [["a", 100], ["b1", 200], ["b2", 200], ["c", 300]]);
      assert.equal(fake.pending.size, 0);
    });

    test("a timer that was made before another one fired still runs at its time", () => {
      using fake = new FakeTimers({ movesPerformance });
      const ran: [string, number][] = [];
      after(2_000, () => ran.push(["long", fake.time]));
      after(1_000, () => {
        ran.push(["first", fake.time]);
        after(500, () => ran.push(["second", fake.time]));
      });
      fake.tick(3_000);
      assert.deepEqual(ran, [["first", 1_000], ["second", 1_500], ["long", 2_000]]);
    });

    test("reaches times beyond the longest platform delay exactly, in hops (TO-04)", () => {
      using fake = new FakeTimers({ movesPerformance });
      const ran: number[] = [];
      after(2.5 * LONGEST, () => ran.push(fake.time));
      for (let hop = 0; hop < 2; hop++) {
        fake.tick(LONGEST);
        assert.deepEqual([ran.length, fake.pending.size], [0, 1]);
      }
      fake.tick(LONGEST / 2);
      fake.tick(1);
      assert.equal(ran.length, 1);
      assert.ok(Math.abs(ran[0]! - 2.5 * LONGEST) <= 1);
      assert.equal(fake.set, 3);
    });
  });
}

describe("clock", () => {
  test("now never goes back", () => {
    const times: number[] = [];
    {
      using fake = new FakeTimers({ movesPerformance: false });
      after(60_000, () => {});
      times.push(clock().now());
      fake.tick(60_000);
      times.push(clock().now());
    }
    times.push(clock().now());
    assert.deepEqual(times, times.toSorted((a, b) => a - b));
    assert.ok(times[1]! >= times[0]! + 60_000);
  });

  test("a loop that sets and drops one timer after another arms one platform timer, and leaves none", async () => {
    using fake = new FakeTimers({ movesPerformance: true });
    for (let i = 0; i < 1_000; i++) {
      const timer = after(1_000, () => assert.fail());
      await Promise.resolve();
      timer[Symbol.dispose]();
    }
    assert.equal(fake.set, 1);
    await microtasks();
    assert.equal(fake.pending.size, 0);
    fake.tick(10_000);
  });

  test("is armed anew for an earlier timer, and not for a later one", async () => {
    using fake = new FakeTimers({ movesPerformance: true });
    const timers = [1_000, 2_000, 3_000].map((ms) => after(ms, () => assert.fail()));
    assert.equal(fake.set, 1);
    timers.push(after(10, () => assert.fail()));
    assert.equal(fake.set, 2);
    assert.deepEqual([...fake.pending].map((timer) => timer.delay), [10]);
    for (const timer of timers) timer[Symbol.dispose]();
    await microtasks();
    assert.equal(fake.pending.size, 0);
  });

  test("a dropped timer never runs, even when dropped by one that is due with it, or twice", () => {
    using fake = new FakeTimers({ movesPerformance: true });
    const ran: string[] = [];
    after(10, () => {
      ran.push("first");
      second[Symbol.dispose]();
      second[Symbol.dispose]();
    });
    const second = after(10, () => ran.push("second"));
    after(10, () => ran.push("third"));
    fake.tick(20);
    assert.deepEqual(ran, ["first", "third"]);
  });

  test("a timer made while another fires runs too", () => {
    using fake = new FakeTimers({ movesPerformance: true });
    const ran: number[] = [];
    after(10, () => {
      after(0, () => ran.push(fake.time));
      after(5, () => ran.push(fake.time));
    });
    fake.tick(10);
    fake.tick(5);
    assert.deepEqual(ran, [10, 15]);
  });

  test("one that throws does not take the others with it", () => {
    using fake = new FakeTimers({ movesPerformance: true });
    const ran: number[] = [];
    after(10, () => {
      throw new Error("thrown by a timer");
    });
    after(10, () => ran.push(fake.time));
    after(20, () => ran.push(fake.time));
    assert.throws(() => fake.tick(10), { message: "thrown by a timer" });
    fake.tick(10);
    assert.deepEqual(ran.length, 2);
  });

  test("only timers that are awaited hold the process", async () => {
    using fake = new FakeTimers({ movesPerformance: true });
    const timers = [after(10, () => assert.fail(), false), after(10, () => assert.fail(), true)];
    assert.deepEqual([...fake.pending].map((timer) => timer.ref), [false, true]);
    for (const timer of timers) timer[Symbol.dispose]();
    await microtasks();
    assert.equal(fake.pending.size, 0);
  });

  test("is not left on fake timers that have gone, nor behind when they come", async () => {
    const ran: string[] = [];
    const timers: Disposable[] = [];
    {
      using fake = new FakeTimers({ movesPerformance: true });
      timers.push(after(1_000, () => ran.push("under the first")));
      assert.equal(fake.pending.size, 1);
    }
    {
      using fake = new FakeTimers({ movesPerformance: true });
      timers.push(after(5_000, () => ran.push("under the second")));
      assert.equal(fake.pending.size, 1);
      fake.tick(6_000);
      assert.deepEqual(ran, ["under the first", "under the second"]);
      for (const timer of timers) timer[Symbol.dispose]();
      await microtasks();
      assert.equal(fake.pending.size, 0);
    }
  });

  test("draws numbers from 0 up to 1", () => {
    for (let i = 0; i < 100; i++) {
      const number = clock().random();
      assert.ok(number >= 0 && number < 1);
    }
  });
});

test("replaceClock puts another clock in force until disposed, also nested", () => {
  const [original, outer, inner] = [clock(), { ...clock() }, { ...clock() }];
  {
    using _outer = replaceClock(outer);
    {
      using _inner = replaceClock(inner);
      assert.equal(clock(), inner);
    }
    assert.equal(clock(), outer);
  }
  assert.equal(clock(), original);
});

test("wallNow is the clock's own wall clock, or Date without one", () => {
  const before = Date.now();
  const now = wallNow();
  assert.ok(now >= before && now <= Date.now());
  const { schedule, random } = clock();
  {
    using _bare = replaceClock({ now: () => 5, schedule, random });
    assert.ok(wallNow() >= before);
  }
  using _own = replaceClock({ now: () => 5, wall: () => 1_000, schedule, random });
  assert.equal(wallNow(), 1_000);
});
