/** What a shared resource is told and what it tells. */
import type { Lease } from "../kernel/types.ts";

/** Options of an {@linkcode AsyncResource}. */
export interface AsyncResourceOptions<T> {
  /** Appears in messages and observer records. */
  name?: string | undefined;
  /** Opens it; `signal` is aborted when nobody wants it any more. */
  open(context: { signal: AbortSignal }): T | PromiseLike<T>;
  /** Closes it; default: its own disposal, if it has one. `signal` is aborted at {@linkcode closeTimeoutMs}. */
  close?: ((value: T, context: { signal: AbortSignal }) => unknown) | undefined;
  /** How long it stays open after its last user has left, in milliseconds. Default 0; `Infinity` until disposed. */
  lingerMs?: number | undefined;
  /**
   * How long closing may take, in milliseconds; more than 0, finite. Default 10,000. Closing that has not ended by then
   * has failed, and is left to itself: see {@linkcode reopenStuck}.
   */
  closeTimeoutMs?: number | undefined;
  /**
   * Whether it may be opened again while closing it hangs beyond `closeTimeoutMs`, so that two of it may be alive.
   * Default `false`: until that closing ends, uses reject with a `ResourceStuckError`.
   */
  reopenStuck?: boolean | undefined;
}

/** What an operator wants to know of an {@linkcode AsyncResource}. */
export interface AsyncResourceStatistics {
  /**
   * Where it is in its life: `"closed"` may be opened again, `"stuck"` once the closing that hangs has ended,
   * `"disposed"` never.
   */
  readonly state: "closed" | "opening" | "open" | "closing" | "stuck" | "disposed";
  /** How many use it. */
  readonly inUse: number;
  /** Who uses it, the longest first: the labels of those who gave one, `"unknown"` for the others. */
  readonly users: readonly string[];
  /** How many wait for it to open. */
  readonly waiting: number;
  /** How often it was opened. */
  readonly opened: number;
  /** How often opening failed. */
  readonly failed: number;
  /** Uses granted so far. */
  readonly granted: number;
  /** Uses given up by a signal. */
  readonly aborted: number;
  /** Uses that reached their limit. */
  readonly timedOut: number;
}

/** A use of a resource. */
export interface ResourceLease<T> extends Lease {
  /** The open resource. */
  readonly value: T;
}

/** What {@linkcode AsyncResource.close} takes. */
export interface ResourceCloseOptions {
  /** How long to wait for those who use it, in milliseconds. Default `Infinity`. */
  graceMs?: number | undefined;
}

/** What {@linkcode AsyncResource.close} came to. */
export interface ResourceCloseReport {
  /** Who still used it when the grace was over, by label. */
  readonly stragglers: readonly string[];
}
