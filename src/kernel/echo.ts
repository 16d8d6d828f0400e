/** Telling the echo of a cancellation from a failure of its own. */

/**
 * Whether `error` is only the work's answer to its own signal having been aborted with `end.reason`: the reason itself,
 * an error with the reason as `cause`, or any AbortError (runtimes wrap differently).
 *
 * Ask only about work whose signal *was* aborted: an AbortError otherwise is somebody else's cancellation, and real.
 * A TimeoutError is an echo only when it is the reason, and so is an error that holds failures of its own, or one that
 * can't be looked at.
 */
export function isEcho(error: unknown, end: { readonly reason?: unknown }): boolean {
  if (error === end.reason || (error !== error && end.reason !== end.reason)) return true;
  if (typeof error !== "object" || error === null) return false;
  try {
    const { name } = error as { name?: unknown };
    if (name === "TimeoutError" || error instanceof AggregateError) return false;
    return name === "AbortError" || ("cause" in error && error.cause === end.reason);
  } catch {
    return false; // Its getters throw; whoever waits for its task must be answered all the same.
  }
}
