/** How far it is: a bar on a terminal, a line now and then elsewhere. */
import { sleep } from "@uno/async/cancel";
import process from "node:process";
import type { Tally } from "./tally.ts";
import type { Tree } from "./tree.ts";
import { bytes, duration, number, plural } from "./words.ts";

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
  const { isTTY: isTerminal, columns = 80 } = process.stderr;
  const rate = new Rate(tally);
  try {
    for (;;) {
      await sleep(isTerminal ? BAR_MS : LINE_MS, { signal });
      const text = (stopping.aborted ? "finishing: " : "") + describe(tally, rate);
      process.stderr.write(isTerminal ? `\r${bar(tally)} ${text}`.slice(0, columns) + "\x1b[K" : `${text}\n`);
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

function bar({ done, expected }: Tally): string {
  const width = 20;
  const full = expected === undefined ? 0 : Math.round(Math.min(1, done / expected) * width);
  return `[${"#".repeat(full)}${"-".repeat(width - full)}]`;
}

function describe(tally: Tally, rate: Rate): string {
  const { done, found, expected } = tally;
  const of = expected === undefined ? "" : ` of ${number(Math.max(expected, found))}`;
  const { files, bytes: perSecond } = rate.now();
  const left = expected === undefined || files === 0
    ? undefined
    : Math.max(0, expected - done) / files * 1000;
  return `${number(done)}${of} ${done === 1 ? "file" : "files"}, ${bytes(tally.bytes)}, ` +
    `${plural(files, "file")}/s, ${bytes(perSecond)}/s` +
    (left === undefined ? "" : `, ${duration(left)} left`);
}

/** How fast it went in the last seconds. */
class Rate {
  readonly #tally: Tally;
  readonly #samples: { readonly ms: number; readonly files: number; readonly bytes: number }[] = [];

  constructor(tally: Tally) {
    this.#tally = tally;
    this.#sample();
  }

  /** Files and bytes a second. */
  now(): { files: number; bytes: number } {
    const last = this.#sample();
    while (this.#samples.length > 2 && last.ms - this.#samples[1]!.ms > WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0]!;
    const seconds = Math.max(0.001, (last.ms - first.ms) / 1000);
    return { files: (last.files - first.files) / seconds, bytes: (last.bytes - first.bytes) / seconds };
  }

  #sample() {
    const sample = { ms: performance.now(), files: this.#tally.done, bytes: this.#tally.bytes };
    this.#samples.push(sample);
    return sample;
  }
}
