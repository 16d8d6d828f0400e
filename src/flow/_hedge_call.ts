/** The engine of `hedge`: one call, and the attempts that run side by side for it. */
import { checkFunction, checkWaitOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { isEcho } from "../kernel/echo.ts";
import { ownAbort, TimeoutError } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit } from "../kernel/observer.ts";
import { type AbortTarget, listen, type Subscription } from "../kernel/signals.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { HedgePlan } from "./_hedge_plan.ts";
import { pushbackOf } from "./_pushback.ts";
import { abortWork, type Bounds, signalsOf, Work } from "./_work.ts";
import { noteAttemptErrors } from "./attempt_errors.ts";
import type { HedgeAttempt } from "./hedge_options.ts";

class HedgeWork extends Work implements HedgeAttempt {
  readonly attempt: number;
  readonly #startedMs: number;
  /** What it was stopped with, boxed. */
  end: { readonly reason: unknown } | undefined;

  constructor(attempt: number, startedMs: number, bounds: Bounds) {
    super(bounds);
    this.attempt = attempt;
    this.#startedMs = startedMs;
  }

  get elapsedMs(): number {
    return clock().now() - this.#startedMs;
  }
}

class HedgeCall<T> implements AbortTarget {
  readonly #plan: HedgePlan;
  readonly #fn: (context: HedgeAttempt) => T | PromiseLike<T>;
  readonly #signal: AbortSignal | undefined;
  readonly #timeoutMs: number;
  readonly #startedMs = clock().now();
  readonly #resolve: (value: T) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #bounds: Bounds;
  readonly #running = new Set<HedgeWork>();
  /** What attempts have failed with, by their numbers. */
  readonly #errors: unknown[] = [];
  #failed = 0;
  #begun = 0;
  /** Whether no more attempts are made. */
  #heldOff = false;
  #subscription: Subscription | undefined;
  #limit: Disposable | undefined;
  /** For the next attempt. */
  #timer: Disposable | undefined;
  /** Answers the caller; set once the call is decided. */
  #answer: (() => void) | undefined;

  constructor(
    plan: HedgePlan,
    fn: (context: HedgeAttempt) => T | PromiseLike<T>,
    { signal, timeoutMs = Infinity }: WaitOptions,
    resolve: (value: T) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#plan = plan;
    this.#fn = fn;
    this.#signal = signal;
    this.#timeoutMs = timeoutMs;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#bounds = {
      structure: "hedge",
      name: plan.name,
      signal,
      atMs: this.#startedMs + timeoutMs,
      own: true,
      expired: () => this.#timeoutError(),
    };
  }

  start(): void {
    const { totals } = this.#plan;
    totals.calls++;
    totals.running++;
    if (this.#timeoutMs === 0) return this.#end("timedOut", () => this.#reject(this.#timeoutError()));
    if (this.#signal !== undefined) {
      this.#subscription = listen(this.#signal, this);
      if (this.#subscription === undefined) return;
    }
    if (this.#timeoutMs !== Infinity) {
      this.#limit = clock().schedule(
        this.#bounds.atMs,
        () => this.#giveUp(this.#timeoutError(), "timedOut"),
        {
          ref: true,
        },
      );
    }
    this.#begin();
    this.#holdNext();
  }

  aborted(reason: unknown): void {
    this.#giveUp(reason, "aborted");
  }

  describe(): string {
    return subject("hedge", this.#plan.name);
  }

  passesOn(): readonly AbortSignal[] {
    return [...this.#running].flatMap(signalsOf);
  }

  /** Starts an attempt. */
  #begin(): void {
    const work = new HedgeWork(++this.#begun, this.#startedMs, this.#bounds);
    if (work.attempt > 1) {
      emit("hedge", "hedge", this.#plan.name, { attempt: work.attempt, elapsedMs: work.elapsedMs });
      // An observer may have given the call up.
      if (this.#answer !== undefined) return;
      this.#plan.totals.hedges++;
    }
    this.#running.add(work);
    let result: T | PromiseLike<T>;
    try {
      result = this.#fn(work);
    } catch (error) {
      // As of one that fails later: whoever starts an attempt need not expect it to be over already.
      return void Promise.reject(error).then(undefined, (error) => this.#attemptFailed(work, error));
    }
    // Through a promise of ours, as a thenable may call back twice.
    Promise.resolve(result).then(
      (value) => this.#attemptEnded(work, value),
      (error) => this.#attemptFailed(work, error),
    );
  }

  /** Sees to it that the next attempt begins in time. */
  #holdNext(): void {
    try {
      while (this.#answer === undefined && this.#begun < this.#plan.max) {
        const delayMs = this.#plan.delayMs(this.#begun + 1);
        // A function of the caller's may have given the call up.
        if (delayMs === Infinity || this.#answer !== undefined) return;
        if (delayMs > 0) {
          this.#timer = clock().schedule(clock().now() + delayMs, () => this.#next(), { ref: true });
          return;
        }
        if (!this.#beginIfAllowed()) return;
      }
    } catch (error) {
      this.#stopWith(error); // a function of the caller's threw
    }
  }

  #next(): void {
    this.#timer = undefined;
    try {
      if (!this.#beginIfAllowed()) return;
    } catch (error) {
      return this.#stopWith(error);
    }
    this.#holdNext();
  }

  /** Not allowed, no more attempts are made by time: they could not be paid for either. */
  #beginIfAllowed(): boolean {
    const may = this.#plan.mayBegin();
    // Asked, a function of the caller's may have given the call up.
    if (this.#answer !== undefined) return false;
    if (!may) {
      emit("hedge.refused", "hedge", this.#plan.name, { attempt: this.#begun + 1 });
      return false;
    }
    this.#begin();
    return true;
  }

  #attemptEnded(work: HedgeWork, value: T): void {
    this.#running.delete(work);
    if (this.#answer !== undefined) {
      discard(value, "hedge", this.#plan.name);
      return this.#answerIfDone();
    }
    if (work.attempt > 1) this.#plan.totals.hedgeWins++;
    this.#learn(work);
    this.#end("succeeded", () => this.#resolve(value));
    if (this.#running.size > 0) {
      this.#stop(ownAbort(`${this.#cannotGoOn()}: attempt ${work.attempt} has won`));
    }
    this.#answerIfDone();
  }

  #attemptFailed(work: HedgeWork, error: unknown): void {
    this.#running.delete(work);
    if (this.#answer !== undefined) {
      if (!isEcho(error, work.end ?? {})) emit("late.failure", "hedge", this.#plan.name, { error });
      return this.#answerIfDone();
    }
    this.#errors[work.attempt - 1] = error;
    this.#failed++;
    try {
      const isFatal = this.#plan.fatal?.(error);
      // Asked, a function of the caller's may have given the call up.
      if (this.#answer !== undefined) return this.#answerIfDone();
      if (isFatal) return this.#stopWith(error);
      if (this.#heldOff) return this.#failIfAllHave();
      if (this.#begun < this.#plan.max) {
        this.#timer?.[Symbol.dispose]();
        this.#timer = undefined;
        // Who asks for a pause is not asked again at once, in this call.
        this.#heldOff = pushbackOf(error) !== undefined;
        if (!this.#heldOff && this.#beginIfAllowed()) return this.#holdNext();
      }
    } catch (bug) {
      return this.#stopWith(bug);
    }
    if (this.#answer !== undefined) return this.#answerIfDone();
    this.#failIfAllHave();
  }

  #failIfAllHave(): void {
    if (this.#running.size > 0) return;
    // All have failed: what the primary one failed with is what a call without hedging would have thrown.
    const [primary] = this.#errors;
    noteAttemptErrors(primary, this.#errors);
    this.#end("failed", () => this.#reject(primary));
    emit("hedge.failed", "hedge", this.#plan.name, { errors: this.#errors });
  }

  /** Ends the call with an error that no other attempt can make good. */
  #stopWith(error: unknown): void {
    if (this.#answer !== undefined) return;
    noteAttemptErrors(error, this.#errors.filter((_, i) => i in this.#errors));
    this.#end("failed", () => this.#reject(error));
    if (this.#running.size > 0) this.#stop(ownAbort(`${this.#cannotGoOn()}: the call has failed`, error));
    this.#answerIfDone();
  }

  #giveUp(reason: unknown, why: "aborted" | "timedOut"): void {
    if (this.#answer !== undefined) return;
    if (why === "timedOut") this.#learn();
    this.#end(why, () => this.#reject(reason));
    this.#stop(reason);
    this.#answerIfDone();
  }

  /**
   * How long the primary attempt took: one that has lost, or run out of time, longer than this. Left out, the quick ones
   * would pull the quantile down. One that was aborted or has failed tells nothing.
   */
  #learn(winner?: HedgeWork): void {
    const { taken } = this.#plan;
    if (taken === undefined || 0 in this.#errors) return;
    taken.add(winner?.elapsedMs ?? clock().now() - this.#startedMs);
  }

  /** The call is decided. */
  #end(how: "succeeded" | "failed" | "aborted" | "timedOut", answer: () => void): void {
    const { totals } = this.#plan;
    totals[how]++;
    totals.running--;
    this.#answer = answer;
    this.#timer?.[Symbol.dispose]();
    this.#limit?.[Symbol.dispose]();
    this.#subscription?.cancel();
    if (!this.#plan.waitForLosers || this.#running.size === 0) answer();
  }

  /** Stops those that still run. The winner's signal is left alone: what it returned may still be read under it. */
  #stop(reason: unknown): void {
    for (const work of [...this.#running]) {
      work.end = { reason };
      abortWork(work, reason);
    }
  }

  #answerIfDone(): void {
    if (this.#plan.waitForLosers && this.#running.size === 0) this.#answer?.();
  }

  #cannotGoOn(): string {
    return `Cannot go on with an attempt of ${subject("hedge", this.#plan.name)}`;
  }

  #timeoutError(): TimeoutError {
    const operation = `finish ${subject("hedge", this.#plan.name)}`;
    const limitMs = this.#timeoutMs;
    const why = limitMs === 0
      ? "no time was left to start"
      : `${this.#running.size} of ${this.#begun} attempts were still running`;
    return new TimeoutError(`Cannot ${operation} within ${limitMs} ms: ${why}`, {
      operation,
      limitMs,
      ...(this.#failed > 0 && { cause: this.#errors.find((_, i) => i in this.#errors) }),
    });
  }
}

/** Runs `fn` under the plan; `pays` unless a policy around it has paid for the call. */
export function run<T>(
  plan: HedgePlan,
  fn: (context: HedgeAttempt) => T | PromiseLike<T>,
  options: WaitOptions | undefined,
  pays: boolean,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const doing = `run ${subject("hedge", plan.name)}`;
    checkFunction(doing, "fn", fn);
    checkWaitOptions(doing, options);
    if (options?.signal?.aborted) {
      plan.totals.aborted++;
      return reject(options.signal.reason);
    }
    if (pays) plan.budget?.deposit();
    new HedgeCall(plan, fn, options ?? {}, resolve, reject).start();
  });
}
