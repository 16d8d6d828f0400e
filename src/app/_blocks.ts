import { type Deferred, deferred } from "../kernel/deferred.ts";

/** What holds up the end of an application: work in flight that is no task of its. */
export class Blocks {
  readonly #held = new Set<{ readonly name: string }>();
  #quiet: Deferred<void> | undefined;

  /** Their names, the oldest first. */
  get names(): string[] {
    return [...this.#held].map(({ name }) => name);
  }

  /** Adds one, until disposed; disposed again, it does nothing. */
  add(name: string): Disposable {
    const block = { name };
    this.#held.add(block);
    return {
      [Symbol.dispose]: (): void => {
        if (!this.#held.delete(block) || this.#held.size > 0) return;
        this.#quiet?.resolve();
        this.#quiet = undefined;
      },
    };
  }

  /** Resolves when there is none. */
  async quiet(): Promise<void> {
    while (this.#held.size > 0) await (this.#quiet ??= deferred<void>()).promise;
  }
}
