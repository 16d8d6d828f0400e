/** What a waiting operation is put through, and the few words that all of them are described with. */
import { TimeoutError } from "../../src/kernel/errors.ts";
import type { World } from "../../src/testing/mod.ts";

/** Something that happens once: made anew for every run. */
export interface Scene {
  /**
   * What happens; gives `signal` to those who may give up, and to nobody else. Whoever was not given it must get what
   * they wait for, or the run is stuck and fails. Rejects with the reason of `signal` when that ended somebody's wait.
   */
  act(signal: AbortSignal, world: World): Promise<unknown>;
  /** What must hold afterwards, whenever the signal was aborted; fails by throwing. */
  check(): unknown;
}

/** One entry of the list: operations that wait, in one scene. */
export interface Operation {
  readonly name: string;
  /** The operations it waits in, named as on the public surface: `AsyncLock.acquire`, `sleep`. */
  readonly covers: readonly string[];
  readonly scene: () => Scene;
}

/** What a file of the folder `_waiting` exports. */
export interface WaitingFile {
  readonly operations: readonly Operation[];
  /** What takes a signal or gives a promise and is in no scene, and why that is fine. */
  readonly still: Readonly<Record<string, string>>;
}

/** Waits until all have settled, and only then throws the first failure: nobody is left behind in the scene. */
export async function all(...parties: PromiseLike<unknown>[]): Promise<void> {
  for (const one of await Promise.allSettled(parties)) if (one.status === "rejected") throw one.reason;
}

/** Takes a limit that was reached for an ordinary outcome. */
export async function mayBeLate(waiting: PromiseLike<unknown>): Promise<void> {
  try {
    await waiting;
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
  }
}
