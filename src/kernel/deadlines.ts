/** Which deadline applies to a signal: signals carry none, so the scopes that set one note it there. */

/**
 * On the signal itself, not in a WeakMap: that keeps what a note refers to, the scope and its result, until the next
 * full collection, and makes each scope with a signal twice as dear.
 */
const AT = Symbol("deadline");

type Noted = AbortSignal & { [AT]?: () => number };

/** Notes the deadline of a signal, in milliseconds on the clock; a function, as an idle timeout moves its own. */
export function noteDeadline(signal: Noted, atMs: () => number): void {
  signal[AT] = atMs;
}

/** The earliest deadline known to apply to a signal, `Infinity` without one. */
export function deadlineOf(signal: Noted | undefined): number {
  return signal?.[AT]?.() ?? Infinity;
}
