import { checkOptions, checkSignal } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";

/**
 * Lets others run, I/O and timers included, and is a place at which work can be cancelled: for long computations in
 * between.
 *
 * An `await` of something that is there already lets only other promises run; this waits for a whole turn of the event
 * loop. **Abort** — is looked for before and after the turn.
 *
 * @param options `signal` rejects with its reason.
 * @throws The reason of `signal`, unchanged.
 *
 * @example
 * ```ts
 * import { checkpoint } from "@uno/async/cancel";
 * import assert from "node:assert/strict";
 *
 * const controller = new AbortController();
 * let sum = 0;
 * for (let i = 0; i < 3_000; i++) {
 *   sum += i;
 *   if (i % 1_000 === 0) await checkpoint({ signal: controller.signal });
 * }
 * assert.equal(sum, 4_498_500);
 * ```
 */
export async function checkpoint(options?: { signal?: AbortSignal | undefined }): Promise<void> {
  checkOptions("pass checkpoint", options);
  const signal = options?.signal;
  checkSignal("pass checkpoint", signal);
  if (signal?.aborted) throw signal.reason;
  await new Promise<void>((resolve) => {
    const time = clock();
    if (time.turn !== undefined) time.turn(resolve);
    else time.schedule(time.now(), resolve, { ref: true });
  });
  if (signal?.aborted) throw signal.reason;
}
