/** What is compared: rows, each with several contestants that do the same job. */
import type { Timer } from "../_measure.ts";
import { peer } from "./_peers.ts";

/** One contestant, ready to run. */
export interface Entry {
  /**
   * Throws when it does not do the job, and is then not timed.
   *
   * What it returns is kept alive meanwhile: an object of each class that is used, for the reason given at
   * `Case.check` of `bench/_measure.ts`. Leaving one out makes that contestant slower than it is.
   */
  check(): unknown;
  /** Whether it spends a part of its time waiting for timers. */
  readonly waits?: boolean;
  /** Does the job for `size` items, in a loop of its own. */
  run(timer: Timer, size: number): void | Promise<void>;
}

/** What takes memory while it is held. */
export interface Holding {
  check?(): unknown;
  /** Makes `size` of them and returns what keeps them alive; and how to end them, if dropping them is not enough. */
  hold(size: number): Held | Promise<Held>;
}

/** Something held, to be let go of after weighing. */
export interface Held {
  readonly kept: unknown;
  /** How many it is, when not as many as asked for. */
  readonly size?: number;
  letGo?(): unknown;
}

/** A contestant before its library is loaded. */
export interface Rival<E> {
  /** A library, `by hand`, `@uno/async` or the platform's name for it; more words after a comma. */
  readonly name: string;
  make(): E | Promise<E>;
}

interface Shared<E> {
  /** What is done, such as `lock: handed over among 1,000`. */
  readonly name: string;
  /** How many items a run has. */
  readonly size: number;
  /** The first one is the minimum that all others are compared with. */
  readonly rivals: readonly Rival<E>[];
}

/** A comparison of time. */
export interface TimeRow extends Shared<Entry> {
  readonly kind: "time";
  /** How many operations a run counts as, when not one an item. */
  readonly ops?: (size: number) => number;
  /** A run has a multiple of so many items. Default 1. */
  readonly unit?: number;
}

/** A comparison of memory. */
export interface BytesRow extends Shared<Holding> {
  readonly kind: "bytes";
}

/** A comparison. */
export type Row = TimeRow | BytesRow;

/** The minimum, which checks itself unless all of a row are checked alike. */
export function byHand<E>(entry: E, more = ""): Rival<E> {
  return { name: `by hand${more && `, ${more}`}`, make: () => entry };
}

/** This library's contestant. */
export function ours<E>(entry: E, more = ""): Rival<E> {
  return { name: `@uno/async${more && `, ${more}`}`, make: () => entry };
}

/** What the platform has. */
export function platform<E>(name: string, entry: E): Rival<E> {
  return { name, make: () => entry };
}

/** A peer's contestant, made of its module. */
export function theirs<M, E>(name: string, make: (module: M) => E | Promise<E>, more = ""): Rival<E> {
  return { name: `${name}${more && `, ${more}`}`, make: async () => await make(await peer<M>(name)) };
}
