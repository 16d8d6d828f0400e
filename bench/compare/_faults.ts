/** What goes wrong elsewhere: scenes that are played with other libraries and with this one, and judged alike. */
import type { Rival } from "./_rows.ts";

/** A scene, and what is right. */
export interface Fault<T> {
  /** In a few words, such as `a permit given back twice`. */
  readonly name: string;
  /** What is done. */
  readonly scene: string;
  /** What should come of it. */
  readonly right: string;
  /** Says what was seen. */
  tell(seen: T): string;
  /** Whether what was seen is not right. */
  wrong(seen: T): boolean;
  /** Those it is played with, this library among them. */
  readonly cast: readonly Rival<() => Promise<T>>[];
}

/** What came of a scene with one of its cast. */
export interface Sighting {
  readonly fault: string;
  readonly scene: string;
  readonly right: string;
  readonly with: string;
  /** What was seen, or what stopped it. */
  readonly saw: string;
  /** Whether that is wrong; `null` when the scene could not be played to its end. */
  readonly wrong: boolean | null;
}

const PATIENCE_MS = 20_000;

/** Plays a scene with each of its cast. */
export async function play<T>(fault: Fault<T>, unhandled: () => number): Promise<Sighting[]> {
  const { name, scene, right, cast } = fault;
  const sightings: Sighting[] = [];
  for (const rival of cast) {
    const about = { fault: name, scene, right, with: rival.name };
    unhandled();
    try {
      const seen = await within(PATIENCE_MS, Promise.resolve(rival.make()).then((run) => run()));
      // Told in a later turn, if at all.
      await turn(20);
      const left = unhandled();
      const besides = left === 0 ? "" : `, and ${left} unhandled ${left === 1 ? "rejection" : "rejections"}`;
      sightings.push({ ...about, saw: fault.tell(seen) + besides, wrong: fault.wrong(seen) || left > 0 });
    } catch (error) {
      sightings.push({
        ...about,
        saw: `could not be played: ${(error as Error)?.message ?? error}`,
        wrong: null,
      });
    }
  }
  return sightings;
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not over after ${ms / 1_000} s`)), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Lets time pass. */
export function turn(ms = 0): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What a promise has come to after some time. */
export async function after(
  ms: number,
  promise: PromiseLike<unknown>,
): Promise<"fulfilled" | "rejected" | "pending"> {
  let state: "fulfilled" | "rejected" | "pending" = "pending";
  promise.then(() => state = "fulfilled", () => state = "rejected");
  await turn(ms);
  return state;
}
