/** What has been done so far, in numbers that take no more memory the longer it goes on. */
import type { Entry, Outcome } from "./entry.ts";

/** One of the slowest files. */
export interface Slow {
  readonly path: string;
  readonly ms: number;
  readonly size: number;
}

const SLOWEST = 5;

/** Counts outcomes as they come. */
export class Tally {
  /** Paths found by the walk. */
  found = 0;
  /** Paths that were worked off, one way or another. */
  done = 0;
  /** Of those: files that were read; links, and pipes and the like, which were only noted; as they were; not readable. */
  read = 0;
  links = 0;
  others = 0;
  unchanged = 0;
  failed = 0;
  /** Bytes that were hashed. */
  bytes = 0;
  /** How many there will be; `undefined` until they are counted, or all are found. */
  expected: number | undefined;
  /** Those that took longest, the slowest first. */
  readonly slowest: Slow[] = [];

  /** Notes what became of some paths. */
  add(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      this.done++;
      if (outcome.is !== "read") this[outcome.is]++;
      else if (outcome.entry.kind === "file") this.#addFile(outcome.entry, outcome.ms);
      else this[outcome.entry.kind === "link" ? "links" : "others"]++;
    }
  }

  #addFile({ path, size }: Entry, ms: number): void {
    this.read++;
    this.bytes += size;
    if (this.slowest.length === SLOWEST && ms <= this.slowest[SLOWEST - 1]!.ms) return;
    this.slowest.push({ path, ms, size });
    this.slowest.sort((a, b) => b.ms - a.ms).splice(SLOWEST);
  }
}
