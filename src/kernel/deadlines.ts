/** Which deadline applies to a signal: signals carry none, so the scopes that set one note it there. */

/**
 * On the signal itself, not in a WeakMap: that keeps what a note refers to, the scope and its result, until the next
 * full collection, and makes each scope with a signal twice as dear.
 */
const AT = Symbol("deadline");
const WITHIN = Symbol("within");

/** The signals that one was derived from. */
export type Outer = AbortSignal | readonly AbortSignal[] | undefined;

type Noted = AbortSignal & { [AT]?: number | (() => number); [WITHIN]?: Outer };

/**
 * Notes the deadline of a signal, in milliseconds on the clock: its own one, as a function where that moves, and the
 * signals whose deadlines apply to it too. Those are not asked by a function, as they may be nested very deep.
 */
export function noteDeadline(signal: Noted, atMs: number | (() => number), within?: Outer): void {
  signal[AT] = atMs;
  signal[WITHIN] = within;
}

/** Whether anything was noted for a signal: what is derived from it then has to say so. */
export function hasDeadline(signal: Noted | undefined): boolean {
  return signal !== undefined && signal[AT] !== undefined;
}

/** The earliest deadline known to apply to a signal, `Infinity` without one. */
export function deadlineOf(signal: Noted | undefined): number {
  let earliestMs = Infinity;
  for (let at = signal; at !== undefined;) {
    earliestMs = Math.min(earliestMs, ownDeadline(at));
    const within: Outer = at[WITHIN];
    if (isList(within)) return Math.min(earliestMs, earliestOf(within));
    at = within;
  }
  return earliestMs;
}

/** Asks each signal once, however many ways lead to it. */
function earliestOf(signals: readonly Noted[]): number {
  let earliestMs = Infinity;
  const asked = new Set(signals);
  for (const signal of asked) {
    earliestMs = Math.min(earliestMs, ownDeadline(signal));
    const within = signal[WITHIN];
    if (isList(within)) { for (const one of within) asked.add(one); }
    else if (within) asked.add(within);
  }
  return earliestMs;
}

function ownDeadline(signal: Noted): number {
  const own = signal[AT];
  return typeof own === "function" ? own() : own ?? Infinity;
}

function isList(within: Outer): within is readonly AbortSignal[] {
  return Array.isArray(within);
}
