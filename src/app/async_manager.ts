import { checkName, show, showError, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deferred, ignore } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { ClosedError, ownAbort, TaskGroupError } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";
import { TaskManager } from "../task/task_manager.ts";
import { Blocks } from "./_blocks.ts";
import { type Body, Shutdown } from "./_shutdown.ts";
import type { Hook, NamedHook } from "./_start_hooks.ts";
import { type Failure, Startup } from "./_startup.ts";
import {
  type AppHealth,
  type AppOptions,
  type AppState,
  type AppStatistics,
  type AppTree,
  checkAppOptions,
  checkHook,
  checkUse,
  type HookOptions,
} from "./app_options.ts";
import type { StopReport } from "./stop_report.ts";

/** What `runApplication` may do with a manager, and nobody else. */
export interface Reins {
  /** Begins the start, and runs the application's body: what is registered from here on acts at once. */
  run(body: () => unknown): Promise<void>;
  /** Stops it; `failure` is why, when it is one of the application's. */
  stop(reason: unknown, failure?: Failure): void;
  /** Gives up on a stop: nothing is waited for any more. Returns what still runs. */
  force(): readonly string[];
  /** Waits for a stop, whoever asks for it, and for the body. */
  stopped(): Promise<StopReport>;
  /** Has failures of background tasks that nobody awaits told when they happen. */
  onTaskFailure(tell: (error: unknown, name: string) => void): void;
}

/** The reins of a manager. */
export let reinsOf: (app: AsyncManager) => Reins;

/**
 * An application: what it opens, what it runs, how it starts and how it stops.
 *
 * **Start** — resources open as soon as those they come `after` are open, independent ones together; then start hooks
 * run, one by one. If any of it fails, or a stop is asked for meanwhile, what has started is stopped again, in reverse.
 * **Stop** — takes nothing new; runs stop hooks in reverse; lets tasks finish, then cancels them; closes resources in
 * the reverse order of opening. One time limit for all of it (`graceMs`); whatever is still running then is named in the
 * report. A step without a limit of its own gets half of what is left, so that those after it get some, too. **Again** —
 * whoever asks for a stop waits for the same one. **Misuse** — a name that is taken is a `MisuseError`, anything new
 * after a stop has begun a `ClosedError`.
 *
 * It touches no process: {@linkcode runApplication} adds signals and exit codes.
 *
 * @example
 * ```ts
 * import { AsyncManager } from "@uno/async/app";
 * import assert from "node:assert/strict";
 *
 * const log: string[] = [];
 * const open = (name: string) => () => {
 *   log.push(`open ${name}`);
 *   return { [Symbol.dispose]: () => void log.push(`close ${name}`) };
 * };
 *
 * const app = new AsyncManager({ name: "shop" });
 * app.use("web", open("web"), { after: ["db"] });
 * app.use("db", open("db"));
 * app.onStop(() => void log.push("last orders"));
 * await app.start();
 * assert.equal(app.state, "ready");
 *
 * const report = await app.stop();
 * assert.equal(report.code, 0);
 * assert.deepEqual(log, ["open db", "open web", "last orders", "close web", "close db"]);
 * ```
 */
export class AsyncManager implements AsyncDisposable {
  static {
    reinsOf = (app) => ({
      run: (body) => app.#run(body),
      stop: (reason, failure) => void app.#stop(reason, failure),
      force: () => app.#force(),
      stopped: () => app.#stoppedWithBody(),
      onTaskFailure: (tell) => void (app.#taskFailed = tell),
    });
  }

  /** The name given at creation. */
  readonly name: string | undefined;
  /** Its background tasks; cancelled when they do not finish by themselves at the stop. */
  readonly tasks: TaskManager;
  readonly #what: string;
  readonly #options: AppOptions;
  readonly #startup: Startup;
  readonly #stopHooks: (NamedHook & { readonly after: number })[] = [];
  readonly #blocks = new Blocks();
  readonly #controller = new AbortController();
  readonly #cancel = new AbortController();
  readonly #stopRequested = deferred<void>();
  readonly #stopped = deferred<StopReport>();
  #state: AppState = "new";
  #taskFailed: ((error: unknown, name: string) => void) | undefined;
  #body: Body | undefined;
  #shutdown: Shutdown | undefined;
  /** Whether somebody was handed the report. */
  #asked = false;
  #readyMs: number | undefined;
  #endMs: number | undefined;

  /** Creates an application that has not begun to start. */
  constructor(options: AppOptions = {}) {
    checkAppOptions("create application", options);
    this.name = options.name;
    this.#what = subject("application", options.name);
    this.#options = { ...options };
    this.tasks = new TaskManager({
      name: options.name ?? "application",
      signal: this.#cancel.signal,
      onFailure: (error, name) => this.#taskFailed?.(error, name),
    });
    this.#startup = new Startup(this.#what, options.startTimeoutMs ?? Infinity, {
      starting: () => this.#starting(),
      ready: () => this.#ready(),
      startFailed: (failure) => this.#rollBack(failure),
      failedInStop: (error) => this.#shutdown!.ended(error),
    });
  }

  /** Aborted when a stop begins: take no more work, finish what you have. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Where it is in its life. */
  get state(): AppState {
    return this.#state;
  }

  /** What probes ask. */
  get health(): AppHealth {
    return {
      started: this.#readyMs !== undefined,
      live: this.#state !== "stopped",
      ready: this.#state === "ready",
    };
  }

  /**
   * Opens a resource that the application closes when it stops.
   *
   * **Order** — opened as soon as those in `after` are, whether or not `start` was called; those may be registered
   * later, but before `start`. **Failure** — rejects, and fails the start if the application is not ready yet: what is
   * optional has to be caught inside `open`. **Stop** — aborts the signal that `open` got; what comes open nevertheless
   * is closed.
   *
   * @param name Unique in the application.
   * @param open Opens it; the result must be disposable.
   * @param options `after`: the names of the resources that must be open before.
   * @returns The resource, when it is open.
   * @throws {MisuseError} When the name is taken, or a resource would come after itself.
   * @throws {ClosedError} When a stop has begun.
   * @throws What `open` throws.
   */
  use<D extends AsyncDisposable | Disposable>(
    name: string,
    open: (context: { signal: AbortSignal }) => PromiseLike<D> | D,
    options: { after?: readonly string[] | undefined } = {},
  ): Promise<D> {
    const { openings } = this.#startup;
    try {
      checkUse(name, open, options);
      this.#refuseLate(`open ${show(name)}`);
      const opened = openings.add(name, open, options.after ?? []);
      if (this.#startup.begun) openings.refuseUnknownSoon();
      return opened as Promise<D>;
    } catch (error) {
      const refused = Promise.reject(error);
      // What comes as it stops fails nothing, and nobody may wait for it: it must not end the process, and cut that short.
      if (this.#isStopping()) refused.catch(ignore);
      return refused;
    }
  }

  /**
   * Runs `hook` at the start: after the resources that were registered before it have opened, one hook after the
   * other. In an application that has begun to start, at once.
   *
   * @throws {ClosedError} When a stop has begun.
   */
  onStart(hook: Hook, options: HookOptions = {}): void {
    const { hooks } = this.#startup;
    hooks.add(this.#named("start hook", hook, options, hooks.registered));
    Promise.resolve().then(() => hooks.advance());
  }

  /**
   * Runs `hook` at the stop, the last registered first. It is the counterpart of what was registered before it: it is
   * left out when a start hook registered before it has not succeeded.
   *
   * Its signal is aborted at its time limit; then the next one runs.
   *
   * @throws {ClosedError} When a stop has begun.
   */
  onStop(hook: Hook, options: HookOptions = {}): void {
    const named = this.#named("stop hook", hook, options, this.#stopHooks.length);
    this.#stopHooks.push({ ...named, after: this.#startup.hooks.registered });
  }

  /**
   * Holds up a stop, after the stop hooks, until disposed or its time is over: for work in flight that is no task, such
   * as a request.
   *
   * @throws {ClosedError} When a stop has begun.
   */
  block(name: string): Disposable {
    checkName(`block the end of ${this.#what}`, name ?? null);
    if (this.#controller.signal.aborted) throw this.#closed(`block the end of ${this.#what}`);
    return this.#blocks.add(name);
  }

  /**
   * Starts the application: waits for all that was registered, and is ready then. Again: the same promise.
   *
   * Not to be awaited by what it waits for itself: a start hook, or whatever opens a resource.
   *
   * @throws What failed, after everything that had started was stopped again; in a `TaskGroupError` when that failed,
   * too. In the main of {@linkcode runApplication} at once, as the stop waits for main.
   * @throws The reason of `signal`, when it was stopped meanwhile.
   */
  start(): Promise<void> {
    if (this.#startup.promise !== undefined) return this.#startup.promise;
    if (this.#isStopping()) return Promise.reject(this.#closed(`start ${this.#what}`));
    return this.#startup.start();
  }

  /**
   * Stops the application. Again, and at any time: the same stop, and its first reason. Never rejects.
   *
   * Not to be awaited by what the stop itself waits for: in main, in a task or in a hook, call it and return.
   *
   * @param reason What `signal` is aborted with; an AbortError by default. An error other than an AbortError counts as
   * a failure.
   * @returns How it went.
   */
  stop(reason?: unknown): Promise<StopReport> {
    this.#asked = true;
    this.#stop(reason);
    return this.#stopped.promise;
  }

  /** Resolves when a stop begins, with {@linkcode signal}. */
  stopRequested(): Promise<void> {
    return this.#stopRequested.promise;
  }

  /** What is there and what runs. */
  tree(): AppTree {
    const { openings, hooks } = this.#startup;
    return {
      application: this.name ?? "application",
      state: this.#state,
      resources: openings.opened.map(({ name }) => name),
      opening: [...openings.names("opening"), ...openings.names("waiting")],
      hook: hooks.running?.name,
      blocks: this.#blocks.names,
      tasks: this.tasks.tree(),
    };
  }

  /** A snapshot in numbers. */
  statistics(): AppStatistics {
    return Object.freeze({
      state: this.#state,
      uptimeMs: this.#readyMs === undefined ? 0 : (this.#endMs ?? clock().now()) - this.#readyMs,
      resources: this.#startup.openings.opened.length,
      blocks: this.#blocks.names.length,
      tasks: this.tasks.statistics(),
    });
  }

  /** Stops it. Throws what went wrong if nobody has asked for the report. */
  async [Symbol.asyncDispose](): Promise<void> {
    const told = this.#asked || this.#startup.thrown;
    const { errors } = await this.stop();
    if (told || errors.length === 0) return;
    if (errors.length === 1) throw errors[0];
    const [first] = errors;
    const how = `${errors.length} failures, the first: ${showError(first)}`;
    throw new TaskGroupError(errors, `Cannot stop ${this.#what} cleanly: ${how}`, { cause: first });
  }

  async #run(body: () => unknown): Promise<void> {
    this.#startup.begin();
    const ended = deferred<void>();
    const state = { running: true, ended: ended.promise, failure: undefined as Body["failure"] };
    this.#body = state;
    try {
      await body();
      if (this.#state === "starting") await this.start();
    } catch (error) {
      const stopping = this.#controller.signal.aborted;
      if (!stopping || !isEcho(error, this.#controller.signal)) state.failure = { error };
    } finally {
      state.running = false;
      ended.resolve();
    }
    const { failure } = state;
    if (failure === undefined) this.#stop(ownAbort(`Cannot go on in ${this.#what}: its main has ended`));
    else this.#stop(ownAbort(`Cannot go on in ${this.#what}: its main has failed`, failure.error), failure);
  }

  #starting(): void {
    this.#state = "starting";
    emit("app.starting", "application", this.name);
  }

  #ready(): void {
    this.#state = "ready";
    this.#readyMs = clock().now();
    emit("app.ready", "application", this.name);
  }

  #rollBack(failure: Failure): void {
    this.#stop(ownAbort(`Cannot go on in ${this.#what}: its start has failed`, failure.error), failure);
  }

  #stop(reason: unknown, failure = failureIn(reason) ?? this.#startup.failure): void {
    if (this.#shutdown !== undefined) {
      if (failure !== undefined) this.#shutdown.ended(failure.error);
      return;
    }
    const { graceMs = 10_000, drainMs, preStopMs = 0 } = this.#options;
    if (reason === undefined) reason = ownAbort(`Cannot go on in ${this.#what}: it was stopped`);
    const { openings, hooks: startHooks } = this.#startup;
    const shutdown = this.#shutdown = new Shutdown(
      {
        what: this.#what,
        openings,
        startHooks,
        stopHooks: () => hooks.filter(({ after }) => after <= startHooks.done),
        blocks: this.#blocks,
        tasks: this.tasks,
        cancel: this.#cancel,
        body: this.#body,
        bodyMayWait: () => this.#asked,
      },
      { graceMs, drainMs },
      reason,
    );
    const hooks = this.#state === "new" ? [] : this.#stopHooks;
    const wasReady = this.#state === "ready";
    this.#state = "stopping";
    this.#startup.halt();
    emit("app.stopping", "application", this.name, { reason });
    if (failure !== undefined) shutdown.failed(failure.error);
    void this.#shutDown(shutdown, reason, wasReady ? preStopMs : 0);
  }

  async #shutDown(shutdown: Shutdown, reason: unknown, pauseMs: number): Promise<void> {
    if (pauseMs > 0) await shutdown.pause(pauseMs);
    this.#startup.stop(reason);
    const closing = this.tasks.close({ graceMs: Infinity, reason });
    this.#controller.abort(reason);
    this.#stopRequested.resolve();
    if (this.#body !== undefined) {
      // At once: the stop waits for the body, which may be waiting for its start. The report has the rest.
      this.#startup.endEarly(reason);
    }
    await shutdown.run(closing);
    this.#state = "stopped";
    this.#endMs = clock().now();
    const report = shutdown.report();
    emit("app.stopped", "application", this.name, report);
    this.#stopped.resolve(report);
    if (this.#body === undefined) this.#startup.end(reason, report.errors);
  }

  async #stoppedWithBody(): Promise<StopReport> {
    await this.#stopped.promise;
    await this.#shutdown!.waitForBody();
    return this.#shutdown!.report();
  }

  #force(): readonly string[] {
    const running = this.#shutdown?.running() ?? [];
    this.#shutdown?.force();
    return running;
  }

  #named(kind: string, hook: Hook, options: HookOptions, index: number): NamedHook {
    const doing = `register ${kind}`;
    checkHook(doing, hook, options);
    this.#refuseLate(doing);
    const name = options.name ?? (hook.name === "" ? `#${index + 1}` : hook.name);
    return { name: `${kind} ${show(name)}`, run: hook, timeoutMs: options.timeoutMs };
  }

  #isStopping(): boolean {
    return this.#state === "stopping" || this.#state === "stopped";
  }

  #refuseLate(doing: string): void {
    if (this.#isStopping()) throw this.#closed(doing);
  }

  #closed(doing: string): ClosedError {
    // With the stop's reason as cause: to whoever runs into it, this is the echo of the stop, and no failure.
    return new ClosedError(`Cannot ${doing}: ${this.#what} is ${this.#state}`, { cause: this.signal.reason });
  }
}

/** A reason that is a failure, and not just somebody's wish. */
function failureIn(reason: unknown): Failure | undefined {
  try {
    return reason instanceof Error && reason.name !== "AbortError" ? { error: reason } : undefined;
  } catch {
    return { error: reason }; // It can't be looked at: nobody's wish.
  }
}
