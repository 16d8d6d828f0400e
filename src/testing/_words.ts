/** How the test world puts what it found. */
import { show } from "../kernel/checks.ts";
import type { VirtualTimer } from "./virtual_clock.ts";

/** `3 waiters`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** `due at 100 ms, due at 5000 ms in the background, never due`, cut short after a few. */
export function describeTimers(timers: readonly VirtualTimer[]): string {
  const shown = timers.slice(0, 5).map(({ atMs, ref }) =>
    (atMs === Infinity ? "never due" : `due at ${atMs} ms`) + (ref ? "" : " in the background")
  );
  if (timers.length > shown.length) shown.push(`${timers.length - shown.length} more`);
  return shown.join(", ");
}

/** An error as it prints itself, anything else as it stands in messages; never throws. */
export function describeReason(reason: unknown): string {
  try {
    if (reason instanceof Error) return `${reason.name}: ${reason.message}`;
  } catch {
    // It can't be looked at.
  }
  return show(reason);
}
