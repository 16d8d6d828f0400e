import { subject } from "../kernel/checks.ts";
import type { StopSignal } from "./host.ts";

const exitCodes: Readonly<Record<StopSignal, number>> = { SIGINT: 130, SIGTERM: 143 };

/** What a process that a signal has ended exits with: 128 and the signal's number. */
export function exitCodeOf(signal: StopSignal): number {
  return exitCodes[signal];
}

/**
 * Why an application stops when its process was asked to: the reason of `app.signal` then.
 *
 * An AbortError by name, so that it counts as a cancellation everywhere.
 */
export class SignalReceived extends DOMException {
  /** Which signal it was. */
  readonly signal: StopSignal;
  /** What the process is to exit with. */
  readonly exitCode: number;

  /** Creates the reason for the application of that name. */
  constructor(signal: StopSignal, application?: string) {
    super(`Cannot go on in ${subject("application", application)}: ${signal} was received`, "AbortError");
    this.signal = signal;
    this.exitCode = exitCodeOf(signal);
  }
}

/** `reason` if it is a signal that was received; a reason that can't be looked at is none. */
export function signalIn(reason: unknown): SignalReceived | undefined {
  try {
    return reason instanceof SignalReceived ? reason : undefined;
  } catch {
    return undefined;
  }
}
