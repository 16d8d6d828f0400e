/** The port through which everything the library does can be watched: off by default, and unable to do harm. */

import { isThenable } from "./deferred.ts";

/** One thing that happened. */
export interface ObserverRecord {
  /** What happened, such as `wait`, `retry`, `task.stuck`. */
  readonly kind: string;
  /** The kind of structure it happened in, such as `lock`. */
  readonly structure: string;
  /** The structure's name, if it has one. */
  readonly name?: string;
  /** The facts. */
  readonly data?: object;
}

/** Something that wants to know; called synchronously. */
export interface Observer {
  /** Takes one record. */
  record(event: ObserverRecord): void;
}

let observers: readonly Observer[] = [];
const broken = new WeakSet<Observer>();

/** Whether anybody watches: asked before the facts of a record are put together. */
export function observed(): boolean {
  return observers.length > 0;
}

/**
 * Sends every record to `observer` until disposed.
 *
 * An observer that throws, or rejects, disturbs nothing: its first error is printed once, further ones are dropped.
 *
 * @throws {TypeError} When `observer` has no `record` method.
 *
 * @example
 * ```ts
 * import { AsyncLock, observe } from "@uno/async";
 * import assert from "node:assert/strict";
 *
 * const seen: string[] = [];
 * const watching = observe({ record: ({ kind, structure, name }) => seen.push(`${kind} ${structure} ${name}`) });
 * await new AsyncLock({ name: "ledger" }).run(() => {});
 * watching[Symbol.dispose]();
 * assert.deepEqual(seen, ["acquire lock ledger", "release lock ledger"]);
 * ```
 */
export function observe(observer: Observer): Disposable {
  if (typeof observer?.record !== "function") {
    throw new TypeError("Cannot observe as observer must have a record method: received none");
  }
  // A box of its own, so that one observer may be added twice and taken away once.
  const mine: Observer = { record: (event) => observer.record(event) };
  observers = [...observers, mine];
  return {
    [Symbol.dispose](): void {
      observers = observers.filter((other) => other !== mine);
    },
  };
}

/** What happened in the step that is being done. */
let untold: ObserverRecord[] | undefined;

/**
 * Does several things as one step. Observers are told when all are done: they may do anything, and would do it in the
 * middle. A step within a step is a part of it.
 */
export function oneStep<T>(step: () => T): T {
  if (observers.length === 0 || untold !== undefined) return step();
  const events: ObserverRecord[] = untold = [];
  try {
    return step();
  } finally {
    untold = undefined;
    for (const event of events) tell(event);
  }
}

/** Tells all observers, in the middle of a {@linkcode oneStep} after it; costs next to nothing when there is none. */
export function emit(kind: string, structure: string, name: string | undefined, data?: object): void {
  if (observers.length === 0) return;
  const event: ObserverRecord = {
    kind,
    structure,
    ...(name === undefined ? {} : { name }),
    ...(data && { data }),
  };
  if (untold !== undefined) untold.push(event);
  else tell(event);
}

function tell(event: ObserverRecord): void {
  for (const observer of observers) {
    try {
      const answer: unknown = observer.record(event);
      if (isThenable(answer)) answer.then(undefined, (error) => complain(observer, error));
    } catch (error) {
      complain(observer, error);
    }
  }
}

function complain(observer: Observer, error: unknown): void {
  if (broken.has(observer)) return;
  broken.add(observer);
  console.error("An observer of @uno/async threw; its further errors are not shown:", error);
}
