/** Waiting for users to leave, with a grace. */
import { checkDurationMs, checkOptions } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deferred } from "../kernel/deferred.ts";
import type { HoldOptions } from "../kernel/types.ts";

/** Checks the options of closing something that others may be using. @returns Its grace. */
export function checkDrain(doing: string, options: { graceMs?: number | undefined }): number {
  checkOptions(doing, options ?? null);
  const { graceMs = Infinity } = options;
  checkDurationMs(doing, "graceMs", graceMs);
  return graceMs;
}

/** A wait for the end of all use, which a later wish can make shorter, never longer. */
export class Drain {
  readonly #over = deferred<void>();
  #atMs = Infinity;
  #timer: Disposable | undefined;

  /** Resolved when everybody has left, or the grace is over. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Waits for so long from now at most. */
  limit(graceMs: number): void {
    const atMs = clock().now() + graceMs;
    if (atMs >= this.#atMs) return;
    this.#atMs = atMs;
    this.#timer?.[Symbol.dispose]();
    this.#timer = clock().schedule(atMs, () => this.end(), { ref: true });
  }

  /** Everybody has left. */
  end(): void {
    this.#atMs = -Infinity;
    this.#timer?.[Symbol.dispose]();
    this.#over.resolve();
  }
}

/** Who holds something, in words: the label, or else the owner's name, as a `Task` has one. */
export function holderOf(hold: HoldOptions | undefined): string | undefined {
  if (hold?.label !== undefined) return hold.label;
  const name = (hold?.owner as { readonly name?: unknown } | undefined)?.name;
  return typeof name === "string" && name !== "" ? name : undefined;
}
