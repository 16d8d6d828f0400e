/** The end of a pool, once for all who ask for it. */
import { deferred } from "../kernel/deferred.ts";
import { Drain } from "./_drain.ts";
import type { PoolCloseReport } from "./pool_options.ts";

/** What a pool does to end. */
export interface Closing {
  /** Lets nobody in and ends what nobody has; then calls {@linkcode Ending.look}. */
  stop(): void;
  /** Takes away what is still in use. @returns Whose it was. */
  takeBack(): string[];
  /** What destroying failed with. */
  readonly errors: readonly unknown[];
}

/** A close that has begun. */
export class Ending {
  readonly #drain = new Drain();
  readonly #ended = deferred<void>();
  #done: Promise<PoolCloseReport> | undefined;

  /** The same for all who ask. */
  get done(): Promise<PoolCloseReport> {
    return this.#done!;
  }

  /** Begins; those who are called on the way must find that it has. */
  begin(closing: Closing): void {
    const { promise, resolve } = deferred<PoolCloseReport>();
    this.#done = promise;
    resolve(this.#run(closing));
  }

  /** Waits for users for so long from now at most. */
  limit(graceMs: number): void {
    this.#drain.limit(graceMs);
  }

  /** How many places are taken, and how many of those by what must not be left behind. */
  look(taken: number, binding: number): void {
    if (taken === 0) this.#drain.end();
    if (binding === 0) this.#ended.resolve();
  }

  async #run(closing: Closing): Promise<PoolCloseReport> {
    closing.stop();
    await this.#drain.over;
    const stragglers = Object.freeze(closing.takeBack());
    await this.#ended.promise;
    return Object.freeze({ stragglers, errors: Object.freeze([...closing.errors]) });
  }
}
