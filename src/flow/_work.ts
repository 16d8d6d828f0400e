/** Running user work whose caller may be gone before it has ended. */
import { subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { noteDeadline } from "../kernel/deadlines.ts";
import { isEcho } from "../kernel/echo.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit } from "../kernel/observer.ts";
import { type AbortTarget, Canceller, listen, stillRunning, type Subscription } from "../kernel/signals.ts";

/** How long a call may take, and who wants to know how it goes. */
export interface Bounds {
  /** The kind of structure, for the observer. */
  readonly structure: string;
  readonly name: string | undefined;
  /** Gives the call up. */
  readonly signal: AbortSignal | undefined;
  /** When the call must have ended, in milliseconds on the clock; `Infinity` for no limit. */
  readonly atMs: number;
  /** Who can stop the work from outside of the call. */
  readonly stoppable?: Stoppable;
  /** Whether the work can be ended by itself too, and not only together with its caller. */
  readonly own?: boolean;
  /** Whether a caller who gives up is answered only when the work has settled. */
  readonly waits?: boolean;
  /** The error for a call that has not; `why` is in words, for its message. */
  expired(why: string): unknown;
  /** The call was given up: before its work was started, or while it was running (and still is). */
  gaveUp?(why: "aborted" | "timedOut", running: boolean): void;
  /** The work has ended, or was not started: called once, before the caller is answered. */
  settled?(): void;
}

/** The error of a call that has not ended within its limit. */
export function overdue(operation: string, limitMs: number, why: string): TimeoutError {
  return new TimeoutError(`Cannot ${operation} within ${limitMs} ms: ${why}`, { operation, limitMs });
}

/** The works of one structure that are running and have looked at their signal: those it can stop. */
export class Stoppable {
  readonly #works = new Set<Work>();
  #end: { readonly reason: unknown } | undefined;

  /** Aborts the signals of all of them. */
  stop(reason: unknown): void {
    this.#end = { reason };
    for (const work of [...this.#works]) abortWork(work, reason);
  }

  /** @internal */
  add(work: Work): void {
    if (this.#end !== undefined) abortWork(work, this.#end.reason);
    else this.#works.add(work);
  }

  /** The work has ended. */
  delete(work: Work): void {
    if (this.#works.size > 0) this.#works.delete(work);
  }
}

/** Aborts the signal of a piece of work. */
export let abortWork: (work: Work, reason: unknown) => void;

/** The signal of a piece of work, if it has looked at it. */
export let signalsOf: (work: Work) => readonly AbortSignal[];

/**
 * The signal to hand on to a policy inside: none when the work can't be given up, and the caller's own when that is
 * all that can end it. So a signal that nobody reads is not made between policies either.
 *
 * @param context What a policy gives; one of somebody else's may give none, or none with a signal.
 * @param given The signal that the policy was called with: handed on past a policy that says nothing of one.
 */
export let signalToPass: (context: unknown, given: AbortSignal | undefined) => AbortSignal | undefined;

/** What work gets: at least a signal, made when first read, as a controller costs more than a call on some runtimes. */
export class Work {
  readonly #bounds: Bounds | undefined;
  #controller: Canceller | undefined;
  #end: { readonly reason: unknown } | undefined;

  static {
    abortWork = (work, reason) => {
      if (work.#end !== undefined) return;
      work.#end = { reason };
      work.#controller?.abort(reason);
    };
    signalsOf = (work) => work.#controller === undefined ? [] : [work.#controller.signal];
    signalToPass = (context, given) => {
      if (typeof context !== "object" || context === null) return given;
      if (!(#bounds in context)) return (context as { readonly signal?: AbortSignal }).signal ?? given;
      const bounds = context.#bounds;
      if (bounds === undefined) return undefined;
      const own = bounds.own || bounds.atMs !== Infinity || bounds.stoppable !== undefined;
      return own ? context.signal : bounds.signal;
    };
  }

  constructor(bounds?: Bounds) {
    this.#bounds = bounds;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const { signal } = this.#controller = new Canceller();
      const bounds = this.#bounds;
      if (bounds !== undefined) noteDeadline(signal, bounds.atMs, bounds.signal);
      if (this.#end !== undefined) this.#controller.abort(this.#end.reason);
      else bounds?.stoppable?.add(this);
    }
    return this.#controller.signal;
  }
}

class Call<T> implements AbortTarget {
  readonly #work: Work;
  readonly #bounds: Bounds;
  readonly #resolve: (value: T) => void;
  readonly #reject: (reason: unknown) => void;
  #subscription: Subscription | undefined;
  #timer: Disposable | undefined;
  #started = false;
  #over: { readonly reason: unknown } | undefined;

  constructor(work: Work, bounds: Bounds, resolve: (value: T) => void, reject: (reason: unknown) => void) {
    this.#work = work;
    this.#bounds = bounds;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(fn: () => T | PromiseLike<T>): void {
    const { signal, atMs } = this.#bounds;
    if (signal?.aborted) return this.#refuse(signal.reason, "aborted");
    if (atMs !== Infinity && atMs <= clock().now()) {
      return this.#refuse(this.#bounds.expired("no time was left to start"), "timedOut");
    }
    if (signal !== undefined) {
      this.#subscription = listen(signal, this);
      if (this.#subscription === undefined) return;
    }
    if (atMs !== Infinity) this.#timer = clock().schedule(atMs, () => this.#expire(), { ref: true });
    this.#started = true;
    let result: T | PromiseLike<T>;
    try {
      result = fn();
    } catch (error) {
      return this.#failed(error);
    }
    // Through a promise of ours, as a thenable may call back twice.
    Promise.resolve(result).then((value) => this.#ended(value), (error) => this.#failed(error));
  }

  aborted(reason: unknown): void {
    if (this.#started) this.#abandon(reason, "aborted");
    else this.#refuse(reason, "aborted");
  }

  describe(): string {
    return subject(this.#bounds.structure, this.#bounds.name);
  }

  passesOn(): readonly AbortSignal[] {
    return signalsOf(this.#work);
  }

  #expire(): void {
    const [signal] = signalsOf(this.#work);
    this.#abandon(this.#bounds.expired(stillRunning(signal)), "timedOut");
  }

  #refuse(reason: unknown, why: "aborted" | "timedOut"): void {
    this.#bounds.gaveUp?.(why, false);
    this.#bounds.settled?.();
    this.#reject(reason);
  }

  #abandon(reason: unknown, why: "aborted" | "timedOut"): void {
    this.#over = { reason };
    this.#unbind();
    this.#bounds.gaveUp?.(why, true);
    if (!this.#bounds.waits) this.#reject(reason);
    abortWork(this.#work, reason);
  }

  #ended(value: T): void {
    const { structure, name } = this.#bounds;
    this.#unbind();
    this.#bounds.settled?.();
    if (this.#over === undefined) return this.#resolve(value);
    discard(value, structure, name);
    this.#reject(this.#over.reason);
  }

  #failed(error: unknown): void {
    const { structure, name, signal } = this.#bounds;
    this.#unbind();
    if (this.#over === undefined && signal?.aborted && isEcho(error, signal)) {
      // Between the listeners of a signal, platforms run microtasks: the work has heard of it and answered before us.
      this.#over = { reason: signal.reason };
      this.#bounds.gaveUp?.("aborted", true);
    }
    this.#bounds.settled?.();
    if (this.#over === undefined) return this.#reject(error);
    if (!isEcho(error, this.#over)) emit("late.failure", structure, name, { error });
    this.#reject(this.#over.reason);
  }

  #unbind(): void {
    this.#subscription?.cancel();
    this.#timer?.[Symbol.dispose]();
  }
}

/**
 * Runs `fn` within bounds and answers its caller at once when they are reached, whether or not the work heeds its
 * signal. What the work gives later is disposed, if it can be; its failure, unless an echo, goes to the observer.
 *
 * The work is not started when the bounds are reached already.
 */
export function runWithin<W extends Work, T>(
  bounds: Bounds,
  work: W,
  fn: (work: W) => T | PromiseLike<T>,
): Promise<T> {
  return new Promise((resolve, reject) => new Call<T>(work, bounds, resolve, reject).start(() => fn(work)));
}
