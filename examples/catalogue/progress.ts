/** How far it is: a bar on a terminal, a line now and then elsewhere. */
import { sleep } from "@uno/async/cancel";
import process from "node:process";
import type { Tally } from "./tally.ts";
import type { Tree } from "./tree.ts";
import { bytes, duration, number, plural } from "./words.ts";

const BAR_WIDTH = 20;
const BAR_MS = 100;
const LINE_MS = 2_000;
/** The rate is that of so much time, so that it follows what is going on. */
const WINDOW_MS = 5_000;

/**
 * Shows progress on standard error until aborted: a daemon of the pipeline's group.
 *
 * @throws The reason of `signal`, unchanged.
 */
export async function showProgress(tally: Tally, stopping: AbortSignal, signal: AbortSignal): Promise<never> {
  const { isTTY: isTerminal } = process.stderr;
  const rate = new Rate(tally);
  try {
    for (let ticks = 0;; ticks++) {
      await sleep(isTerminal ? BAR_MS : LINE_MS, { signal });
      const [first, ...more] = describe(tally, rate.now());
      const parts = [(stopping.aborted ? "finishing: " : "") + first, ...more];
      // The last column stays free: some terminals go to the next line there.
      const { columns = 80 } = process.stderr;
      const line = isTerminal
        ? `\r${bar(tally, ticks)} ${fit(parts, columns - BAR_WIDTH - 4)}\x1b[K`
        : `${parts.join(", ")}\n`;
      process.stderr.write(line);
    }
  } finally {
    if (isTerminal) process.stderr.write("\r\x1b[K");
  }
}

/**
 * Counts what there is, for the time that is left, when it turns out to take long.
 *
 * @throws The reason of `signal`, unchanged.
 */
export async function countAfter(ms: number, tree: Tree, tally: Tally, signal: AbortSignal): Promise<void> {
  await sleep(ms, { signal });
  tally.expected = await tree.count(signal);
}

/** A bar that fills; while nobody knows how much there is, a block that moves to and fro. */
export function bar({ done, expected }: Tally, ticks: number): string {
  let [before, full] = [0, 0];
  if (expected === undefined) {
    full = 3;
    const way = BAR_WIDTH - full;
    before = way - Math.abs(way - ticks % (2 * way));
  } else if (expected > 0) full = Math.floor(Math.min(1, done / expected) * BAR_WIDTH);
  return `[${"-".repeat(before)}${"#".repeat(full)}${"-".repeat(BAR_WIDTH - before - full)}]`;
}

/** How far it is, in parts: the most important first. */
export function describe(tally: Tally, speed: Speed): string[] {
  const { done, found, expected, read } = tally;
  const parts: string[] = [];
  if (expected === undefined) parts.push(`found ${number(found)}`, `${number(done)} done`);
  else {
    const all = Math.max(expected, found);
    parts.push(`${number(done)} of ${number(all)} done`);
    if (speed.done > 0) parts.push(`${duration((all - done) / speed.done * 1000)} left`);
  }
  if (read > 0) {
    parts.push(`${bytes(tally.bytes)} read`, `${plural(speed.read, "file")}/s`, `${bytes(speed.bytes)}/s`);
  }
  return parts;
}

/** As many parts as there is room for: a number that is cut off is another number. */
export function fit(parts: readonly string[], room: number): string {
  let line = "";
  for (const part of parts) {
    const longer = line === "" ? part : `${line}, ${part}`;
    if (longer.length > room) break;
    line = longer;
  }
  return line;
}

/** So much a second: paths worked off, files read, bytes read. */
export interface Speed {
  readonly done: number;
  readonly read: number;
  readonly bytes: number;
}

/** How fast it went in the last seconds. */
class Rate {
  readonly #tally: Tally;
  readonly #samples: (Speed & { readonly ms: number })[] = [];

  constructor(tally: Tally) {
    this.#tally = tally;
    this.#sample();
  }

  now(): Speed {
    const last = this.#sample();
    while (this.#samples.length > 2 && last.ms - this.#samples[1]!.ms > WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0]!;
    const seconds = Math.max(0.001, (last.ms - first.ms) / 1000);
    return {
      done: (last.done - first.done) / seconds,
      read: (last.read - first.read) / seconds,
      bytes: (last.bytes - first.bytes) / seconds,
    };
  }

  #sample() {
    const { done, read, bytes } = this.#tally;
    const sample = { ms: performance.now(), done, read, bytes };
    this.#samples.push(sample);
    return sample;
  }
}
