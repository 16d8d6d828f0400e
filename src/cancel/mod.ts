/**
 * Cancellation and time: sleeping, time limits, deadlines, and signals that let go of what they were derived from.
 *
 * @module
 */
export { abortable } from "./abortable.ts";
export { checkpoint } from "./checkpoint.ts";
export { Deadline } from "./deadline.ts";
export { type LinkedSignal, linkSignals } from "./link_signals.ts";
export { sleep } from "./sleep.ts";
export { shield, timeout, type TimeoutOptions, type TimeoutScope } from "./timeout.ts";
export { MisuseError, TimeoutError, type TimeoutErrorOptions } from "../kernel/errors.ts";
