/** The few members of `effection` that are used here. */

/** An operation, yielded with `yield*` inside another. */
export interface Operation<T> {
  [Symbol.iterator](): Iterator<unknown, T, unknown>;
}

/** A running operation. */
export interface EffectionTask<T> extends Operation<T>, Promise<T> {
  halt(): Operation<void> & Promise<void>;
}

/** `import * from "effection"`. */
export interface EffectionModule {
  run<T>(operation: () => Generator<unknown, T, unknown>): EffectionTask<T>;
  spawn<T>(operation: () => Generator<unknown, T, unknown>): Operation<EffectionTask<T>>;
  sleep(ms: number): Operation<void>;
  suspend(): Operation<void>;
  until<T>(promise: Promise<T>): Operation<T>;
}
