/** What makes a test world go: moves virtual time when nothing else can run, and notices when nothing ever will. */
import { census } from "../kernel/census.ts";
import { checkDurationMs } from "../kernel/checks.ts";
import { type Deferred, deferred } from "../kernel/deferred.ts";
import { MisuseError } from "../kernel/errors.ts";
import { openGroups } from "../kernel/open_groups.ts";
import type { Exploration } from "./_exploration.ts";
import { Recent, StuckError, type StuckState } from "./stuck_error.ts";
import { outermost } from "./_tree.ts";
import { turn, turns } from "./_turn.ts";
import { VirtualClock } from "./virtual_clock.ts";

/** An `advance` under way. */
interface Journey extends Deferred<void> {
  readonly toMs: number;
}

/** How an {@linkcode Engine} is set up. */
export interface EngineOptions {
  seed: number;
  auto: boolean;
  maxSteps: number;
  /** Which order of several possible ones is to be run. */
  exploration?: Exploration | undefined;
  /** Called when something is about to run again after everything stood still: a timer, or the end of real I/O. */
  onStep?: (() => void) | undefined;
}

/** Runs one body in virtual time. */
export class Engine {
  readonly time: VirtualClock;
  readonly recent: Recent = new Recent();
  readonly #options: EngineOptions;
  readonly #before = { ...census };
  /** Earliest first. */
  #journeys: Journey[] = [];
  #idlers: Deferred<void>[] = [];
  #externals = 0;
  #steps = 0;
  #over = false;
  #wake: (() => void) | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.time = new VirtualClock(options.seed, () => this.#wake?.(), options.exploration);
  }

  /** Runs `body` to its end. @throws What it throws. @throws {StuckError} When it can never end. */
  async run<T>(body: () => T | PromiseLike<T>): Promise<T> {
    // First: Bun's `expect().resolves` and `.rejects` block their caller, and only what is on its way goes on meanwhile.
    const driving = this.#drive();
    const running = (async () => await body())();
    const ended = (): void => {
      this.#over = true;
      this.#wake?.();
    };
    // Not awaited: a body that is stuck never settles.
    running.then(ended, ended);
    try {
      await driving;
      return await running;
    } finally {
      this.#over = true;
      for (const waiting of [...this.#journeys, ...this.#idlers]) waiting.resolve();
    }
  }

  async advance(ms: number): Promise<void> {
    checkDurationMs("advance", "ms", ms);
    if (ms === Infinity) throw new RangeError("Cannot advance as ms must be finite: received Infinity");
    this.#enter("advance");
    const journey: Journey = { ...deferred<void>(), toMs: this.time.now() + ms };
    this.#journeys.push(journey);
    this.#journeys.sort((a, b) => a.toMs - b.toMs);
    await journey.promise;
  }

  async idle(): Promise<void> {
    this.#enter("wait for idle");
    const idler = deferred<void>();
    this.#idlers.push(idler);
    await idler.promise;
  }

  async external<R>(work: PromiseLike<R>): Promise<R> {
    this.#enter("wait for external work");
    this.#externals++;
    try {
      return await work;
    } finally {
      this.#externals--;
      this.#options.onStep?.();
      this.#wake?.();
    }
  }

  #enter(doing: string): void {
    if (this.#over) throw new MisuseError(`Cannot ${doing} in this test world: it is over`);
    this.#wake?.();
  }

  async #drive(): Promise<void> {
    while (!this.#over) {
      await turn();
      if (this.#over) return;
      // Nothing but timers and real I/O can make anything run from here on.
      if (this.time.nextMs <= this.time.now()) this.#step();
      else if (this.#idlers.length > 0) { for (const idler of this.#idlers.splice(0)) idler.resolve(); }
      else if (this.#journeys.length > 0) this.#travel(this.#journeys[0]!);
      else if (this.#externals > 0) await this.#something();
      else if (this.#options.auto && this.time.nextMs < Infinity) this.#step();
      else if (!await this.#stirs()) throw new StuckError(this.#state("idle"));
    }
  }

  /** Moves time to the next timer and runs what is due then. */
  #step(): void {
    if (this.#steps === this.#options.maxSteps) throw new StuckError(this.#state("endless"));
    this.#steps++;
    this.time.moveTo(this.time.nextMs);
    this.#options.onStep?.();
    this.time.runDue();
  }

  #travel(journey: Journey): void {
    if (this.time.nextMs <= journey.toMs) return this.#step();
    this.time.moveTo(journey.toMs);
    this.#journeys.shift();
    this.#options.onStep?.();
    journey.resolve();
  }

  /** Resolves when the body asks for something, makes a timer, or ends, or when real I/O ends. */
  #something(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  /** Whether there is life yet: being sure costs a few turns, which only a failing test has to pay. */
  async #stirs(): Promise<boolean> {
    let stirred = false;
    this.#wake = () => stirred = true;
    await turns(20);
    this.#wake = undefined;
    return stirred || this.#over;
  }

  #state(why: StuckState["why"]): StuckState {
    const { seed, auto } = this.#options;
    return {
      why,
      seed,
      auto,
      nowMs: this.time.now(),
      steps: this.#steps,
      waiters: census.waiters - this.#before.waiters,
      subscriptions: census.subscriptions - this.#before.subscriptions,
      timers: this.time.timers(),
      groups: outermost(openGroups()),
      recent: this.recent.records,
    };
  }
}
