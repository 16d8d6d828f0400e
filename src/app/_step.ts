import { clock } from "../kernel/clock.ts";
import { noteDeadline } from "../kernel/deadlines.ts";
import { deferred } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";
import type { Budget } from "./_budget.ts";
import type { StopStep } from "./stop_report.ts";

/** What becomes of a {@linkcode runStep}. */
export interface StepEnd extends StopStep {
  /** Why it failed, or that it is overdue. */
  readonly errors: readonly unknown[];
  /** Whether it was overdue by a limit of its own, rather than by its share of the whole. */
  readonly ownLimit: boolean;
  /** Whether it still runs. */
  readonly running: boolean;
  /** Resolves when it has ended at last. */
  readonly ended: Promise<void>;
}

/**
 * Runs one step of a stop: starts it in any case, waits for it within its limit, and aborts its signal then.
 *
 * Another piece of work than `timeout` does: with no time left the step is still begun, and one that is overdue can be
 * asked later whether it has ended.
 */
export async function runStep(
  budget: Budget,
  name: string,
  work: (context: { signal: AbortSignal }) => unknown,
  ownLimitMs?: number,
): Promise<StepEnd> {
  const begunMs = clock().now();
  const shareMs = budget.shareMs;
  const ownLimit = ownLimitMs !== undefined && ownLimitMs <= budget.leftMs;
  const limitMs = ownLimitMs === undefined ? shareMs : Math.min(ownLimitMs, budget.leftMs);
  const controller = new AbortController();
  noteDeadline(controller.signal, () => begunMs + limitMs);
  let failure: { readonly error: unknown } | undefined;
  let overdue: TimeoutError | undefined;
  const ended = deferred<void>();
  let running = true;
  const end = (): void => {
    running = false;
    ended.resolve();
  };
  call(work, controller.signal).then(end, (error) => {
    if (overdue === undefined) failure = { error };
    else if (!isEcho(error, { reason: overdue })) emit("late.failure", "application", name, { error });
    end();
  });
  if (!await budget.wait(ended.promise, limitMs)) {
    const ms = budget.forced ? clock().now() - begunMs : limitMs;
    overdue = new TimeoutError(`Cannot finish ${name} within ${Math.round(ms)} ms: it was still running`, {
      operation: name,
      limitMs: ms,
    });
    controller.abort(overdue);
  }
  const thrown = overdue === undefined ? failure : { error: overdue };
  const ms = clock().now() - begunMs;
  const outcome = overdue !== undefined ? "overdue" : failure !== undefined ? "failed" : "done";
  emit("app.step", "application", name, { ms, outcome });
  return {
    name,
    ms,
    outcome,
    errors: thrown === undefined ? [] : [thrown.error],
    ownLimit,
    get running() {
      return running;
    },
    ended: ended.promise,
  };
}

async function call(work: (context: { signal: AbortSignal }) => unknown, signal: AbortSignal): Promise<void> {
  await work({ signal });
}
