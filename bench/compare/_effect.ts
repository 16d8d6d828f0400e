/** The few members of `effect` that are used here. */

/** An effect, yielded with `yield*` inside `Effect.gen`. */
export interface Effect<A> {
  [Symbol.iterator](): Iterator<Effect<unknown>, A, unknown>;
}

/** A running fiber. */
export interface Fiber<A> {
  readonly value?: A;
}

interface Forked {
  startImmediately?: boolean;
}

/** A semaphore of effect's. */
export interface EffectSemaphore {
  take(permits: number): Effect<number>;
  release(permits: number): Effect<number>;
  withPermits(permits: number): <A>(effect: Effect<A>) => Effect<A>;
}

/** A queue of effect's. */
export interface EffectQueue<T> {
  readonly item?: T;
}

/** `import * from "effect"`. */
export interface EffectModule {
  Effect: {
    gen<A>(body: () => Generator<Effect<unknown>, A, never>): Effect<A>;
    runPromise<A>(effect: Effect<A>, options?: { signal?: AbortSignal }): Promise<A>;
    runFork<A>(effect: Effect<A>): Fiber<A>;
    forkChild<A>(effect: Effect<A>, options?: Forked): Effect<Fiber<A>>;
    forEach<T, A>(
      items: Iterable<T>,
      fn: (item: T) => Effect<A>,
      options?: { concurrency?: number | "unbounded"; discard?: boolean },
    ): Effect<A[]>;
    all<A>(
      effects: Iterable<Effect<A>>,
      options?: { concurrency?: number | "unbounded"; discard?: boolean },
    ): Effect<A[]>;
    sync<A>(fn: () => A): Effect<A>;
    tryPromise<A>(
      options: { try: (signal: AbortSignal) => PromiseLike<A>; catch: (error: unknown) => unknown },
    ): Effect<A>;
    promise<A>(fn: (signal: AbortSignal) => PromiseLike<A>): Effect<A>;
    sleep(ms: number): Effect<void>;
    timeout<A>(effect: Effect<A>, ms: number): Effect<A>;
    retry<A>(effect: Effect<A>, options: { times: number }): Effect<A>;
    readonly never: Effect<never>;
  };
  Semaphore: { makeUnsafe(permits: number): EffectSemaphore };
  Fiber: {
    awaitAll(fibers: Iterable<Fiber<unknown>>): Effect<unknown>;
    joinAll<A>(fibers: Iterable<Fiber<A>>): Effect<A[]>;
    interrupt(fiber: Fiber<unknown>): Effect<void>;
    interruptAll(fibers: Iterable<Fiber<unknown>>): Effect<void>;
  };
  Queue: {
    unbounded<T>(): Effect<EffectQueue<T>>;
    bounded<T>(capacity: number): Effect<EffectQueue<T>>;
    offer<T>(queue: EffectQueue<T>, item: T): Effect<boolean>;
    take<T>(queue: EffectQueue<T>): Effect<T>;
  };
}
