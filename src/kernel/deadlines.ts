/** Which deadline applies to a signal: signals carry none, so the scopes that set one note it here. */

const deadlines = new WeakMap<AbortSignal, () => number>();

/** Notes the deadline of a signal, in milliseconds on the clock; a function, as an idle timeout moves its own. */
export function noteDeadline(signal: AbortSignal, atMs: () => number): void {
  deadlines.set(signal, atMs);
}

/** The earliest deadline known to apply to a signal, `Infinity` without one. */
export function deadlineOf(signal: AbortSignal | undefined): number {
  return (signal && deadlines.get(signal)?.()) ?? Infinity;
}
