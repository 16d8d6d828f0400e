import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CircuitBreaker } from "../../src/flow/circuit_breaker.ts";
import type { CircuitBreakerOptions } from "../../src/flow/circuit_breaker_options.ts";
import { CircuitOpenError } from "../../src/flow/circuit_open_error.ts";
import { replaceClock } from "../../src/kernel/clock.ts";
import { type Deferred, deferred } from "../../src/kernel/deferred.ts";

/** One call of a history: when it ended, and how. */
interface Ended {
  readonly atMs: number;
  readonly failed: boolean;
  readonly slow: boolean;
}

interface Admitted {
  /** The number of the change of state after which it was let through. */
  readonly era: number;
  readonly probe: boolean;
  readonly startedMs: number;
  /** A probe whose place was given to another. */
  reclaimed: boolean;
}

type Settings =
  & Required<Pick<CircuitBreakerOptions, "openMs" | "maxOpenMs" | "openGrowth" | "probes" | "probeLeaseMs">>
  & { slowCallMs: number; failureRate: number; slowRate: number; minimumCalls: number }
  & ({ kind: "time"; windowMs: number } | { kind: "count"; windowSize: number } | {
    kind: "row";
    failures: number;
  });

/** What a circuit breaker should do, in the plainest words: it keeps all calls and counts anew each time. */
class Model {
  state: "closed" | "open" | "halfOpen" | "isolated" = "closed";
  era = 0;
  openings = 0;
  openUntilMs = 0;
  ended: Ended[] = [];
  probes: Admitted[] = [];
  tried: Ended[] = [];
  readonly #settings: Settings;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  enter(nowMs: number): Admitted | undefined {
    if (this.state === "isolated") return undefined;
    if (this.state === "open") {
      if (nowMs < this.openUntilMs) return undefined;
      this.change("halfOpen");
    }
    const call = { era: this.era, probe: this.state === "halfOpen", startedMs: nowMs, reclaimed: false };
    if (!call.probe) return call;
    const { probes, probeLeaseMs } = this.#settings;
    if (this.probes.length + this.tried.length >= probes) {
      for (const probe of this.probes) probe.reclaimed = nowMs >= probe.startedMs + probeLeaseMs;
      this.probes = this.probes.filter((probe) => !probe.reclaimed);
      if (this.probes.length + this.tried.length >= probes) return undefined;
    }
    this.probes.push(call);
    return call;
  }

  settle(call: Admitted, how: "ok" | "failed" | "neutral", nowMs: number): void {
    if (call.era !== this.era || call.reclaimed) return;
    this.probes = this.probes.filter((probe) => probe !== call);
    if (how === "neutral") return;
    const one = {
      atMs: nowMs,
      failed: how === "failed",
      slow: nowMs - call.startedMs > this.#settings.slowCallMs,
    };
    if (call.probe) this.#settleProbe(one, nowMs);
    else this.#settlePlain(one, nowMs);
  }

  #settlePlain(one: Ended, nowMs: number): void {
    this.ended.push(one);
    const [calls, failures, slow] = this.counts(nowMs);
    const settings = this.#settings;
    const tripped = settings.kind === "row"
      ? failures! >= settings.failures || slow! >= settings.failures
      : calls! >= settings.minimumCalls &&
        (failures! / calls! >= settings.failureRate || slow! / calls! >= settings.slowRate);
    if (tripped) this.open(nowMs);
  }

  #settleProbe(one: Ended, nowMs: number): void {
    this.tried.push(one);
    const { kind, probes, failureRate, slowRate } = this.#settings;
    const reaches = (count: number, rate: number) => count > 0 && (kind === "row" || count / probes >= rate);
    const failures = this.tried.filter((probe) => probe.failed).length;
    const slow = this.tried.filter((probe) => probe.slow).length;
    if (reaches(failures, failureRate) || reaches(slow, slowRate)) this.open(nowMs);
    else if (this.tried.length === probes) this.close();
  }

  /** Calls, failures and slow calls in the window. */
  counts(nowMs: number): number[] {
    const settings = this.#settings;
    if (settings.kind === "row") {
      const row = (what: "failed" | "slow") => {
        const from = this.ended.findLastIndex((one) => !one[what]);
        return this.ended.length - 1 - from;
      };
      return [Math.max(row("failed"), row("slow")), row("failed"), row("slow")];
    }
    const bucketMs = settings.kind === "time" ? settings.windowMs / 10 : 1;
    const inside = settings.kind === "count"
      ? this.ended.slice(-settings.windowSize)
      : this.ended.filter((one) => Math.floor(one.atMs / bucketMs) > Math.floor(nowMs / bucketMs) - 10);
    return [
      inside.length,
      inside.filter((one) => one.failed).length,
      inside.filter((one) => one.slow).length,
    ];
  }

  open(nowMs: number, openMs?: number): void {
    const settings = this.#settings;
    const grownMs = settings.openMs * settings.openGrowth ** this.openings;
    this.openUntilMs = nowMs + (openMs ?? Math.min(settings.maxOpenMs, grownMs));
    this.openings++;
    this.change("open");
  }

  close(): void {
    this.openings = 0;
    this.change("closed");
  }

  change(state: Model["state"]): void {
    this.state = state;
    this.era++;
    this.ended = [];
    this.probes = [];
    this.tried = [];
  }
}

const rates = fc.constantFrom(0.1, 0.3, 0.5, 0.7, 1);
const settings: fc.Arbitrary<Settings> = fc.record({
  openMs: fc.integer({ min: 10, max: 500 }),
  openGrowth: fc.constantFrom(1, 1.5, 2),
  maxOpenMs: fc.integer({ min: 500, max: 3_000 }),
  probes: fc.integer({ min: 1, max: 5 }),
  probeLeaseMs: fc.integer({ min: 50, max: 1_000 }),
  slowCallMs: fc.constantFrom(Infinity, 50, 200),
  failureRate: rates,
  slowRate: rates,
  minimumCalls: fc.integer({ min: 1, max: 8 }),
}).chain((common) =>
  fc.oneof(
    fc.record({ kind: fc.constant("time" as const), windowMs: fc.constantFrom(100, 1_000, 3_000) }),
    fc.record({ kind: fc.constant("count" as const), windowSize: fc.integer({ min: 8, max: 20 }) }),
    fc.record({ kind: fc.constant("row" as const), failures: fc.integer({ min: 1, max: 6 }) }),
  ).map((window) => ({ ...common, ...window }))
);

function optionsOf({ kind, failureRate, slowRate, minimumCalls, ...rest }: Settings): CircuitBreakerOptions {
  return { openJitter: 0, ...rest, ...(kind === "row" ? {} : { failureRate, slowRate, minimumCalls }) };
}

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("call" as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("settle" as const),
      which: fc.nat(),
      how: fc.constantFrom(
        "ok" as const,
        "failed" as const,
        "failed" as const,
        "ignored" as const,
        "aborted" as const,
      ),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(400) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom("isolate" as const, "reset" as const, "forceOpen" as const, "restore" as const),
    }),
  },
);

interface Running {
  readonly admitted: Admitted;
  readonly work: Deferred<string>;
  readonly controller: AbortController;
}

class Ignored extends Error {}

test("CircuitBreaker does what a naive model does, over 100,000 random steps and without a timer", async () => {
  let nowMs = 0;
  let steps = 0;
  let refusals = 0;
  let halfOpens = 0;
  using _clock = replaceClock({
    now: () => nowMs,
    wall: () => 1_000_000 + nowMs,
    random: () => 0.5,
    schedule: () => assert.fail("made a timer"),
  });
  const one = async (chosen: Settings, script: (typeof step extends fc.Arbitrary<infer S> ? S : never)[]) => {
    const model = new Model(chosen);
    let breaker = new CircuitBreaker({ ...optionsOf(chosen), ignore: (error) => error instanceof Ignored });
    let running: Running[] = [];
    for (const now of script) {
      steps++;
      switch (now.do) {
        case "advance":
          nowMs += now.ms;
          break;
        case "call": {
          const work = deferred<string>();
          const controller = new AbortController();
          let started = false;
          const call = breaker.run(() => {
            started = true;
            return work.promise;
          }, { signal: controller.signal });
          const settled = call.then(() => undefined, (error) => error);
          const admitted = model.enter(nowMs);
          assert.equal(started, admitted !== undefined, "let through or not");
          if (admitted !== undefined) running.push({ admitted, work, controller });
          else {
            refusals++;
            assert.ok(await settled instanceof CircuitOpenError);
          }
          break;
        }
        case "settle": {
          if (running.length === 0) break;
          const { admitted, work, controller } = running.splice(now.which % running.length, 1)[0]!;
          if (now.how === "aborted") controller.abort();
          else if (now.how === "ok") work.resolve("");
          else work.reject(now.how === "ignored" ? new Ignored() : new Error("x"));
          // Until the breaker has seen it.
          for (let i = 0; i < 4; i++) await undefined;
          const how = now.how === "ok" || now.how === "failed" ? now.how : "neutral";
          model.settle(admitted, how, nowMs);
          break;
        }
        case "isolate":
          breaker.isolate();
          model.change("isolated");
          break;
        case "reset":
          breaker.reset();
          model.close();
          break;
        case "forceOpen":
          breaker.forceOpen(100);
          model.open(nowMs, 100);
          break;
        case "restore": {
          // Into another process, as it were: what runs in this one is of no concern there.
          const saved = JSON.parse(JSON.stringify(breaker.save()));
          breaker = new CircuitBreaker({ ...optionsOf(chosen), ignore: (error) => error instanceof Ignored });
          breaker.restore(saved);
          for (const { work } of running) work.resolve("");
          running = [];
          if (model.state === "halfOpen") {
            model.openUntilMs = nowMs;
            model.change("open");
          } else model.change(model.state);
          break;
        }
      }
      const { state, openings, probing, ...rest } = breaker.statistics();
      const modelState = model.state === "open" && nowMs >= model.openUntilMs ? "halfOpen" : model.state;
      assert.deepEqual([state, openings, probing], [modelState, model.openings, model.probes.length]);
      assert.deepEqual([rest.calls, rest.failures, rest.slow], model.counts(nowMs));
      const leftMs = model.state === "isolated"
        ? Infinity
        : model.state === "open"
        ? Math.max(0, Math.ceil(model.openUntilMs - nowMs))
        : 0;
      assert.equal(rest.retryAfterMs, leftMs);
      assert.equal(rest.running, running.length);
      if (modelState === "halfOpen") halfOpens++;
    }
    for (const { work } of running) work.resolve("");
    for (let i = 0; i < 4; i++) await undefined;
  };
  const scripts = fc.array(step, { minLength: 100, maxLength: 600, size: "max" });
  await fc.assert(fc.asyncProperty(settings, scripts, one), { numRuns: 400, seed: 4 });
  assert.ok(steps >= 100_000 && refusals > 5_000 && halfOpens > 5_000, `${steps} ${refusals} ${halfOpens}`);
});
