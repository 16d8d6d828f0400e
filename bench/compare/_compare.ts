/** Measures the contestants of a row side by side. */
import process from "node:process";
import { collectGarbage, quantile, runtime } from "../_measure.ts";
import type { BytesRow, Entry, Held, Holding, Rival, Row, TimeRow } from "./_rows.ts";

/** How much time is spent on a row. */
export interface Effort {
  readonly rounds: number;
  /** No further round begins when a row took so long, unless it had few. */
  readonly rowMs: number;
  /** A contestant that would need longer for one run gets fewer items. */
  readonly runMs: number;
  readonly warmUpMs: number;
}

/** What a comparison is worth when it is to be quoted. */
export const thorough: Effort = { rounds: 9, rowMs: 4_000, runMs: 2_000, warmUpMs: 200 };

/** A glance. */
export const quick: Effort = { rounds: 5, rowMs: 800, runMs: 800, warmUpMs: 60 };

/** What came of one contestant. */
export interface Figure {
  readonly name: string;
  /** Why it was not measured. */
  readonly failed?: string;
  /** Median of the ratios to the minimum in the same round, and the quartiles around it. */
  readonly ratio?: number;
  readonly quartiles?: readonly [number, number];
  /** Nanoseconds for one operation, or bytes for one item. */
  readonly each?: number;
  /** With fewer items than the row says, as more would have taken too long. */
  readonly size?: number;
  /** How long so many more did take, where that was seen. */
  readonly tooLong?: { readonly size: number; readonly ms: number };
}

/** What came of a row. */
export interface Outcome {
  readonly row: string;
  readonly kind: Row["kind"];
  readonly figures: readonly Figure[];
}

const CHECK_MS = 15_000;
const FEWEST = 5;

interface Ready<E> {
  readonly name: string;
  readonly entry: E;
  /** What its check returned. */
  readonly alive: unknown;
}

/** Checks the contestants of a row, and measures those that do the job. */
export async function compare(row: Row, effort: Effort): Promise<Outcome> {
  const figures = row.kind === "time" ? await compareTime(row, effort) : await compareBytes(row, effort);
  return { row: row.name, kind: row.kind, figures };
}

/** Loads and checks contestants; the others' figures say why they are left out. */
async function enlist<E extends { check?(): unknown }>(
  rivals: readonly Rival<E>[],
): Promise<{ ready: Ready<E>[]; left: Figure[] }> {
  const ready: Ready<E>[] = [];
  const left: Figure[] = [];
  for (const rival of rivals) {
    try {
      const entry = await rival.make();
      ready.push({ name: rival.name, entry, alive: await within(CHECK_MS, entry.check?.()) });
    } catch (error) {
      const [message] = String((error as Error)?.message ?? error).split("\n");
      left.push({ name: rival.name, failed: message || "its check failed" });
    }
  }
  return { ready, left };
}

function within<T>(ms: number, work: T | Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not done after ${ms / 1_000} s`)), ms);
    Promise.resolve(work).then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

interface Reading {
  readonly wall: number;
  readonly cpu: number;
}

function read(): Reading {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now(), cpu: (user + system) / 1_000 };
}

/**
 * How long the part of a contestant that counts takes, in milliseconds: by the clock or in processor time, whichever
 * is less. The clock goes on while other processes have the processor; processor time adds up what engines do beside.
 */
async function time(entry: Entry, size: number): Promise<number> {
  let from = read();
  let until: Reading | undefined;
  const timer = {
    start: () => void (from = read()),
    end: () => void (until = read()),
  };
  await entry.run(timer, size);
  until ??= read();
  const wall = until.wall - from.wall;
  return entry.waits ? wall : Math.min(wall, until.cpu - from.cpu);
}

interface Fitting {
  readonly size: number;
  readonly tooLong?: { readonly size: number; readonly ms: number };
}

interface Runner extends Ready<Entry>, Fitting {
  readonly ops: number;
  spentMs: number;
  readonly ratios: number[];
  readonly times: number[];
}

async function compareTime(row: TimeRow, effort: Effort): Promise<Figure[]> {
  const { ready, left } = await enlist(row.rivals);
  const runners: Runner[] = [];
  for (const one of ready) {
    const fitting = await fittingSize(one.entry, row, effort.runMs);
    runners.push({
      ...one,
      ...fitting,
      ops: row.ops?.(fitting.size) ?? fitting.size,
      spentMs: 0,
      ratios: [],
      times: [],
    });
  }
  for (const { entry, size } of runners) {
    const until = performance.now() + effort.warmUpMs;
    for (let i = 0; i < 2 || performance.now() < until; i++) {
      await time(entry, size);
      if (performance.now() > until) break;
    }
  }
  const minimum = runners[0]!;
  const until = performance.now() + effort.rowMs;
  for (let round = 0; round < effort.rounds; round++) {
    if (round >= FEWEST && performance.now() > until) break;
    // Each comes after another one each time. One that takes its time comes less often.
    const turn = round % runners.length;
    const order = [...runners.slice(turn), ...runners.slice(0, turn)].filter((runner) =>
      runner === minimum || round < FEWEST || runner.spentMs < effort.rowMs / 2
    );
    const took = new Map<Runner, number>();
    for (const runner of order) {
      collectGarbage();
      const started = performance.now();
      took.set(runner, await time(runner.entry, runner.size) / runner.ops);
      runner.spentMs += performance.now() - started;
    }
    for (const [runner, each] of took) {
      runner.times.push(each);
      runner.ratios.push(each / took.get(minimum)!);
    }
  }
  const figures = runners.map((runner): Figure => {
    for (const list of [runner.ratios, runner.times]) list.sort((a, b) => a - b);
    return {
      name: runner.name,
      ratio: quantile(runner.ratios, 0.5),
      quartiles: [quantile(runner.ratios, 0.25), quantile(runner.ratios, 0.75)],
      each: quantile(runner.times, 0.5) * 1e6,
      ...(runner.size < row.size ? { size: runner.size, tooLong: runner.tooLong } : {}),
    };
  });
  return [...figures, ...left];
}

/** How many items a contestant can do in the time for a run. */
async function fittingSize(entry: Entry, row: TimeRow, runMs: number): Promise<Fitting> {
  const unit = row.unit ?? 1;
  let size = 0;
  for (const part of [64, 16, 4, 1]) {
    const next = Math.ceil(row.size / part / unit) * unit;
    if (next === size) continue;
    // The first run of all is slow for other reasons.
    if (size === 0) await time(entry, next);
    const started = performance.now();
    await time(entry, next);
    const tookMs = performance.now() - started;
    if (size > 0 && tookMs > runMs) return { size, tooLong: { size: next, ms: tookMs } };
    size = next;
    // Four times as many will take four times as long at least.
    if (tookMs * 4 > runMs) break;
  }
  return { size };
}

async function compareBytes(row: BytesRow, effort: Effort): Promise<Figure[]> {
  const { ready, left } = await enlist(row.rivals);
  const figures: Figure[] = [];
  let first: number | undefined;
  for (const { name, entry } of ready) {
    const weights: number[] = [];
    for (let round = 0; round < Math.ceil(effort.rounds / 4); round++) {
      weights.push(await weigh(entry, row.size));
    }
    weights.sort((a, b) => a - b);
    const each = quantile(weights, 0.5);
    first ??= each;
    figures.push({ name, each, ratio: each / first });
  }
  return [...figures, ...left];
}

async function weigh(entry: Holding, size: number): Promise<number> {
  const before = await heapBytes();
  const held: Held = await entry.hold(size);
  const after = await heapBytes();
  await held.letGo?.();
  // Read after weighing, or it might be collected before.
  if (held.kept === weigh) throw new Error("unreachable");
  return (after - before) / (held.size ?? size);
}

async function heapBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collectGarbage();
  }
  if (runtime().name === "bun") {
    // A name in a variable: only Bun knows it.
    const jsc = "bun:jsc";
    const { heapStats } = await import(jsc) as { heapStats(): { heapSize: number } };
    return heapStats().heapSize;
  }
  return process.memoryUsage().heapUsed;
}
