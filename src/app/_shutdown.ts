import { deferred } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { leaves, TimeoutError } from "../kernel/errors.ts";
import { show } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import type { TaskManager } from "../task/task_manager.ts";
import type { Blocks } from "./_blocks.ts";
import { Budget } from "./_budget.ts";
import type { Openings } from "./_openings.ts";
import type { NamedHook, StartHooks } from "./_start_hooks.ts";
import { runStep, type StepEnd } from "./_step.ts";
import { signalIn } from "./signal_received.ts";
import type { StopReport, StopStep } from "./stop_report.ts";

/** The function that an application runs as a whole. */
export interface Body {
  readonly running: boolean;
  readonly ended: Promise<void>;
  readonly failure: { readonly error: unknown } | undefined;
}

/** What there is to stop. */
export interface StopParts {
  /** `application "name"`. */
  readonly what: string;
  readonly openings: Openings;
  readonly startHooks: StartHooks;
  /** Those that are to run, in the order in which they are. */
  readonly stopHooks: () => readonly NamedHook[];
  readonly blocks: Blocks;
  readonly tasks: TaskManager;
  /** Cancels all tasks. */
  readonly cancel: AbortController;
  readonly body: Body | undefined;
  /** Whether the body may itself be waiting for the stop to end. */
  readonly bodyMayWait: () => boolean;
}

/** How much time there is. */
export interface StopLimits {
  readonly graceMs: number;
  readonly drainMs: number | undefined;
}

/** Steps that take so long are slow. */
const SLOW_MS = 1_000;

/** One stop of an application, from its first step to its report. */
export class Shutdown {
  readonly #parts: StopParts;
  readonly #limits: StopLimits;
  readonly #budget: Budget;
  readonly #reason: unknown;
  readonly #begunMs = clock().now();
  readonly #errors = new Set<unknown>();
  readonly #steps: StepEnd[] = [];
  readonly #waits: StopStep[] = [];
  /** The step that is being run. */
  #current: string | undefined;
  #forced = false;

  constructor(parts: StopParts, limits: StopLimits, reason: unknown) {
    this.#parts = parts;
    this.#limits = limits;
    this.#budget = new Budget(limits.graceMs);
    this.#reason = reason;
  }

  /** Adds a failure to the report, unless it is there already. */
  failed(error: unknown): void {
    for (const leaf of leaves(error)) this.#errors.add(leaf);
  }

  /** Adds what work ended with whose signal the stop has aborted, unless that is only the answer to it. */
  ended(error: unknown): void {
    for (const leaf of leaves(error)) if (!isEcho(leaf, { reason: this.#reason })) this.#errors.add(leaf);
  }

  /** Ends it now: nothing is waited for any more. */
  force(): void {
    this.#forced = true;
    this.#budget.force();
  }

  /** Waits a part of the time without doing anything. */
  async pause(ms: number): Promise<void> {
    await this.#budget.wait(deferred<void>().promise, ms);
  }

  /** Stops everything, in order; intake has been stopped already. */
  async run(closing: Promise<unknown>): Promise<void> {
    const { openings, startHooks, blocks, tasks, cancel, body } = this.#parts;
    await this.#wait("what was starting", [openings.quiet(), startHooks.running?.ended]);
    for (const hook of [...this.#parts.stopHooks()].reverse()) {
      await this.#step(hook.name, hook.run, hook.timeoutMs);
    }
    await this.#wait("drain", [closing, blocks.quiet(), body?.ended], this.#limits.drainMs);
    cancel.abort(this.#reason);
    await this.#wait("cancelled tasks", [closing]);
    openings.discardLate();
    for (const resource of [...openings.opened].reverse()) {
      const close = (): Promise<void> => dispose(resource.value).finally(() => openings.closed(resource));
      await this.#step(`resource ${show(resource.name)}`, close);
    }
    // What was not waited for to its end gets the rest of the time.
    const patient = this.#steps.filter(({ ownLimit }) => !ownLimit).map(({ ended }) => ended);
    const bodyEnd = this.#parts.bodyMayWait() ? undefined : body?.ended;
    const rest = [
      closing,
      openings.quiet(),
      startHooks.running?.ended,
      blocks.quiet(),
      bodyEnd,
      ...patient,
    ];
    if (!await this.#budget.wait(Promise.all(rest))) this.#forced = true;
    // Disposal waits for all tasks: with some that are stuck, there is only a look at the others.
    if (this.#tasksRunning().length > 0) { for (const error of tasks.unobserved()) this.ended(error); }
    else await tasks[Symbol.asyncDispose]().catch((error) => this.ended(error));
  }

  /** Waits for a body that was itself waiting for the stop to end. */
  async waitForBody(): Promise<void> {
    const { body } = this.#parts;
    if (body?.running && !await this.#budget.wait(body.ended)) this.#forced = true;
  }

  /** What is still running. */
  running(): string[] {
    const { openings, startHooks, blocks, body, bodyMayWait } = this.#parts;
    return [
      ...(body?.running && !(bodyMayWait() && !this.#forced) ? ["main"] : []),
      ...openings.names("opening").map((name) => `opening of ${show(name)}`),
      ...(startHooks.running === undefined ? [] : [startHooks.running.name]),
      ...this.#steps.filter(({ running }) => running).map(({ name }) => name),
      ...(this.#current === undefined ? [] : [this.#current]),
      ...this.#tasksRunning().map((name) => `task ${show(name)}`),
      ...blocks.names.map((name) => `block ${show(name)}`),
    ];
  }

  /** The report as things stand. */
  report(): StopReport {
    const stragglers = this.running();
    const { failure } = this.#parts.body ?? {};
    if (failure !== undefined) this.ended(failure.error);
    const errors = [...this.#errors];
    if (this.#forced && stragglers.length > 0) errors.push(this.#overdue(stragglers));
    const clean = errors.length === 0 && stragglers.length === 0;
    const steps = [...this.#steps.map(({ name, ms, outcome }) => ({ name, ms, outcome })), ...this.#waits];
    return Object.freeze({
      code: signalIn(this.#reason)?.exitCode ?? (clean ? 0 : 1),
      reason: this.#reason,
      forced: this.#forced,
      stragglers,
      errors,
      slow: steps.filter(({ ms, outcome }) => ms >= SLOW_MS || outcome === "overdue").sort((a, b) =>
        b.ms - a.ms
      ),
      ms: clock().now() - this.#begunMs,
    });
  }

  async #step(name: string, work: NamedHook["run"], timeoutMs?: number): Promise<void> {
    this.#current = name;
    const step = await runStep(this.#budget, name, work, timeoutMs);
    this.#current = undefined;
    this.#steps.push(step);
    for (const error of step.errors) this.failed(error);
  }

  async #wait(name: string, works: readonly unknown[], limitMs = this.#budget.shareMs): Promise<void> {
    const begunMs = clock().now();
    const inTime = await this.#budget.wait(Promise.all(works), limitMs);
    this.#waits.push({ name, ms: clock().now() - begunMs, outcome: inTime ? "done" : "overdue" });
  }

  #tasksRunning(): string[] {
    const { tasks, groups } = this.#parts.tasks.tree();
    return [...tasks, ...groups.flatMap((group) => group.tasks)].map(({ name }) => name);
  }

  #overdue(stragglers: readonly string[]): TimeoutError {
    const operation = `stop ${this.#parts.what}`;
    const limitMs = this.#budget.forced ? clock().now() - this.#begunMs : this.#limits.graceMs;
    const how = this.#budget.forced ? "it was forced to end with these still running" : "still running";
    return new TimeoutError(
      `Cannot ${operation} within ${Math.round(limitMs)} ms: ${how}: ${stragglers.join(", ")}`,
      { operation, limitMs },
    );
  }
}

async function dispose(value: AsyncDisposable | Disposable): Promise<void> {
  const it = value as Partial<AsyncDisposable & Disposable>;
  if (typeof it[Symbol.asyncDispose] === "function") await it[Symbol.asyncDispose]!();
  else it[Symbol.dispose]!();
}
