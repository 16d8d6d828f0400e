/** How a call ended, as a value. */
import { ClosedError, TimeoutError } from "../kernel/errors.ts";
import { CircuitOpenError } from "./circuit_open_error.ts";
import { OverloadError } from "./overload_error.ts";
import { QueueFullError } from "./queue_full_error.ts";
import { RateLimitError } from "./rate_limit_error.ts";
import { ThrottledError } from "./throttled_error.ts";

/**
 * How a call ended: with a value; given up by its signal; out of time; refused by a policy, so that nothing was started
 * (by this attempt, at least); or failed by itself.
 */
export type Outcome<T> =
  | { readonly status: "fulfilled"; readonly value: T }
  | { readonly status: "aborted"; readonly reason: unknown }
  | { readonly status: "timedOut"; readonly error: TimeoutError }
  | { readonly status: "refused"; readonly error: Error }
  | { readonly status: "failed"; readonly error: unknown };

const REFUSALS = [
  CircuitOpenError,
  QueueFullError,
  RateLimitError,
  ThrottledError,
  OverloadError,
  ClosedError,
];

/** How `call`, made with `signal`, ends; never rejects. */
export async function outcomeOf<T>(
  call: PromiseLike<T>,
  signal: AbortSignal | undefined,
): Promise<Outcome<T>> {
  try {
    return { status: "fulfilled", value: await call };
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return { status: "aborted", reason: error };
    if (error instanceof TimeoutError) return { status: "timedOut", error };
    if (REFUSALS.some((Refusal) => error instanceof Refusal)) {
      return { status: "refused", error: error as Error };
    }
    return { status: "failed", error };
  }
}
