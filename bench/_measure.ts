/**
 * Measuring against a hand-written minimum: the least code that does the same job, with no options, no messages, no
 * events. A case is checked before it is timed.
 *
 * The same cases run under `deno bench` ({@linkcode benchCases}) and as ratios on any runtime (`ratios.ts`).
 */
import process from "node:process";

/** Marks the part that counts; without marks, all of it does. */
export interface Timer {
  start(): void;
  end(): void;
}

/** Does the case's operations once through, in a loop of its own: a loop that is shared is compiled for neither. */
export type Contestant = (timer: Timer) => void | Promise<void>;

/** Which runtime this is. */
export type RuntimeName = "deno" | "node" | "bun";

/** One comparison. */
export interface Case {
  /** What is done, such as `lock: handed over among 1,000`. */
  name: string;
  /** How many operations a contestant does. */
  ops: number;
  /** How many times the minimum ours may take; one for all runtimes, or one each. */
  target?: number | Readonly<Record<RuntimeName, number>>;
  /** How long ours may take for one operation, in nanoseconds, where a ratio says little. */
  targetNs?: number;
  /**
   * Throws when a contestant does not do its job.
   *
   * What it returns is kept alive meanwhile: with no object of a class left, engines throw its compiled code away when
   * garbage is collected, which happens once a round here, and hardly ever to a program that uses the class.
   */
  check(): unknown;
  minimum: Contestant;
  ours: Contestant;
}

/** Result of a {@linkcode Case}. */
export interface Measured {
  readonly case: Case;
  /** Median of the ratios of all rounds, and the quartiles around it. */
  readonly ratio: number;
  readonly quartiles: readonly [number, number];
  /** Medians for one operation, in nanoseconds. */
  readonly minimumNs: number;
  readonly oursNs: number;
  /** Whether it reaches its targets; `undefined` without one. */
  readonly reached: boolean | undefined;
}

type Outside = {
  Deno?: { version: { deno: string } };
  Bun?: { version: string; gc(now: boolean): void };
  gc?: () => void;
};
const outside = globalThis as Outside;

/** The runtime and its version. */
export function runtime(): { name: RuntimeName; version: string } {
  if (outside.Deno !== undefined) return { name: "deno", version: outside.Deno.version.deno };
  if (outside.Bun !== undefined) return { name: "bun", version: outside.Bun.version };
  return { name: "node", version: process.versions.node };
}

/** Collects garbage, where that can be asked for (`--expose-gc`). */
export function collectGarbage(): void {
  if (outside.Bun !== undefined) outside.Bun.gc(true);
  else outside.gc?.();
}

let sum = 0;

/** Keeps a result from being optimised away. */
export function sink(value: number): void {
  sum = (sum + value) | 0;
}

const WARM_UP_MS = 500;

async function time(contestant: Contestant): Promise<number> {
  let from = 0;
  let until: number | undefined;
  const timer = {
    start: () => void (from = performance.now()),
    end: () => void (until = performance.now()),
  };
  timer.start();
  await contestant(timer);
  return (until ?? performance.now()) - from;
}

/** The value at a part of a sorted list: 0.5 is the median. */
export function quantile(sorted: readonly number[], at: number): number {
  return sorted[Math.round((sorted.length - 1) * at)]!;
}

/** Times both contestants of a case in turn, round by round, and compares each round with itself. */
export async function measure(one: Case, rounds = 15, warmUps = 4): Promise<Measured> {
  const alive = await one.check();
  // By time, too: short cases would else be measured before engines have compiled them for good.
  const warmUntil = performance.now() + WARM_UP_MS;
  for (let round = 0; round < warmUps || performance.now() < warmUntil; round++) {
    await time(one.minimum);
    await time(one.ours);
  }
  const [ratios, minimum, ours]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    const times = { minimum: 0, ours: 0 };
    const order = round % 2 === 0 ? ["minimum", "ours"] as const : ["ours", "minimum"] as const;
    collectGarbage();
    for (const who of order) times[who] = await time(one[who]);
    ratios.push(times.ours / times.minimum);
    minimum.push(times.minimum);
    ours.push(times.ours);
  }
  if (alive !== undefined) sink(1);
  for (const list of [ratios, minimum, ours]) list.sort((a, b) => a - b);
  const ratio = quantile(ratios, 0.5);
  const oursNs = quantile(ours, 0.5) / one.ops * 1e6;
  const { target, targetNs } = one;
  const most = typeof target === "object" ? target[runtime().name] : target;
  return {
    case: one,
    ratio,
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    minimumNs: quantile(minimum, 0.5) / one.ops * 1e6,
    oursNs,
    reached: most === undefined && targetNs === undefined
      ? undefined
      : ratio <= (most ?? Infinity) && oursNs <= (targetNs ?? Infinity),
  };
}

/** A round does an operation many times already; `deno bench` by itself would take a quarter of an hour over all. */
const rounds = { n: 10, warmup: 2 };

/** Registers cases with `deno bench`, after checking them. */
export async function benchCases(cases: readonly Case[]): Promise<void> {
  for (const one of cases) {
    await one.check();
    const group = `${one.name}, ${one.ops.toLocaleString("en")} times`;
    // Async functions by their syntax: others are called again before their promise has settled.
    const marked = (contestant: Contestant) => async (b: Deno.BenchContext) => await contestant(b);
    Deno.bench({ name: "by hand", group, baseline: true, ...rounds, fn: marked(one.minimum) });
    Deno.bench({ name: "ours", group, ...rounds, fn: marked(one.ours) });
  }
}
