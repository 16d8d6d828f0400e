import { checkFunction, checkSignal, show, subject } from "../kernel/checks.ts";
import { subscribe } from "../kernel/signals.ts";
import { describeError } from "./_describe_error.ts";
import { detectHost } from "./adapters/detect.ts";
import { type AppOptions, checkAppOptions } from "./app_options.ts";
import { AsyncManager, type Reins, reinsOf } from "./async_manager.ts";
import { checkHost, type Host, type StopSignal } from "./host.ts";
import { exitCodeOf, signalIn, SignalReceived } from "./signal_received.ts";
import type { StopReport } from "./stop_report.ts";

/** Options of {@linkcode runApplication}. */
export interface RunApplicationOptions extends AppOptions {
  /** The process around it; by default that of the runtime it runs on. */
  host?: Host | undefined;
  /** Stops the application when aborted, with its reason. */
  signal?: AbortSignal | undefined;
  /** The text to show for a failure; `""` shows nothing. Default: message, stack and causes. */
  describeError?: ((error: unknown) => string) | undefined;
}

/**
 * Runs an application from its start to its end, signals and exit code included.
 *
 * **Main** — registers what the application consists of and does its work; when it returns, the application is stopped.
 * A server waits with `await app.stopRequested()`; the process stays alive meanwhile. What main registers acts at once;
 * `await app.start()` waits for all of it and says that the application is ready. **Signals** — the first SIGINT or
 * SIGTERM stops the application, as `signal` does, and the process exits with 130 or 143; a second one ends it at once.
 * **Background tasks** — one that fails for good is shown at once, and makes the exit code 1; it does not stop the
 * application by itself. Endless ones should be `daemon`s: others get half of the grace to finish by themselves.
 * **Failure** — of main, of a resource, of a hook: everything is stopped, the failure is shown once, and the process
 * exits with 1. It is never thrown. **Exit** — the process ends by itself, with the exit code that was set; an exit code
 * of 0 is not set, so that one that is there stays. Only when something is still running at the time limit, or after a
 * second signal, is the process ended. **Afterwards** — nothing stays registered; applications can be nested, and follow
 * one another.
 *
 * @param main The application; gets its {@linkcode AsyncManager}.
 * @param options Time limits in milliseconds: `graceMs` for the whole stop, `startTimeoutMs` for the start.
 * @returns How it ended. Rejects only for wrong arguments.
 *
 * @example
 * ```ts
 * import { runApplication } from "@uno/async/app";
 * import assert from "node:assert/strict";
 *
 * const report = await runApplication(async (app) => {
 *   const db = await app.use("db", () => ({ size: 3, [Symbol.dispose]() {} }));
 *   app.tasks.spawn("counter", () => Promise.resolve(db.size));
 *   await app.start();
 * });
 * assert.equal(report.code, 0);
 * ```
 */
export async function runApplication(
  main: (app: AsyncManager) => unknown,
  options: RunApplicationOptions = {},
): Promise<StopReport> {
  const doing = "run application";
  checkFunction(doing, "main", main);
  checkAppOptions(doing, options);
  checkSignal(doing, options.signal);
  if (options.describeError !== undefined) checkFunction(doing, "describeError", options.describeError);
  if (options.host !== undefined) checkHost(doing, options.host);
  const { host = await detectHost(), signal, ...appOptions } = options;
  const app = new AsyncManager(appOptions);
  const run = new Run(app, host, options);
  return await run.run(main, signal);
}

class Run {
  readonly #app: AsyncManager;
  readonly #reins: Reins;
  readonly #host: Host;
  readonly #describe: (error: unknown) => string;
  /** What was shown when it happened, and is not shown again at the end. */
  readonly #shown = new Set<unknown>();
  #signals = 0;
  #forcedCode: number | undefined;

  constructor(app: AsyncManager, host: Host, options: RunApplicationOptions) {
    this.#app = app;
    this.#reins = reinsOf(app);
    this.#host = host;
    this.#describe = options.describeError ?? describeError;
  }

  async run(main: (app: AsyncManager) => unknown, signal: AbortSignal | undefined): Promise<StopReport> {
    this.#reins.onTaskFailure((error, name) => {
      this.#shown.add(error);
      const text = this.#textOf(error);
      if (text === "") return;
      this.#print(`Task ${show(name)} of ${subject("application", this.#app.name)} failed: ${text}`);
    });
    const held: (Disposable | undefined)[] = [];
    let report: StopReport;
    try {
      held.push(this.#host.onStop((name) => this.#signalled(name)));
      held.push(this.#host.keepAlive?.());
      // With a signal that is aborted already, main is not called.
      const outer = signal?.aborted
        ? void this.#reins.stop(signal.reason)
        : signal && subscribe(signal, { aborted: (reason) => this.#reins.stop(reason) });
      if (!signal?.aborted) void this.#reins.run(() => main(this.#app));
      report = await this.#reins.stopped();
      if (signalIn(report.reason) !== undefined && !report.forced) await this.#host.quiet?.();
      outer?.cancel();
    } finally {
      for (const each of held) each?.[Symbol.dispose]();
    }
    return this.#conclude(report);
  }

  #signalled(signal: StopSignal): void {
    this.#signals++;
    if (this.#signals === 1) return this.#reins.stop(new SignalReceived(signal, this.#app.name));
    if (this.#forcedCode !== undefined) return;
    this.#forcedCode = exitCodeOf(signal);
    const running = this.#reins.force();
    this.#print(`${this.#what} is ended by a second signal (${signal})${still(running)}`);
    this.#exit(this.#forcedCode);
  }

  #conclude(report: StopReport): StopReport {
    // Only under a host that does not really exit.
    if (this.#forcedCode !== undefined) return { ...report, code: this.#forcedCode, forced: true };
    for (const error of report.errors) if (!this.#shown.has(error)) this.#print(this.#textOf(error));
    if (report.code !== 0) this.#host.setExitCode(report.code);
    if (report.stragglers.length > 0) this.#exit(report.code);
    return report;
  }

  #exit(code: number): void {
    this.#host.setExitCode(code);
    try {
      this.#host.exit(code);
    } catch {
      // A test's host throws, as it must not return; a test runner may forbid to exit. The code is set.
    }
  }

  /** A fault of `describeError` must hide neither the failure nor what follows. */
  #textOf(error: unknown): string {
    try {
      return this.#describe(error);
    } catch (failure) {
      return `${describeError(error)}\nCannot describe it as the application does: ${describeError(failure)}`;
    }
  }

  #print(text: string): void {
    if (text === "") return;
    try {
      if (this.#host.printError === undefined) console.error(text);
      else this.#host.printError(text);
    } catch {
      // Nobody is left to tell. What follows, such as the exit code, must not be lost as well.
    }
  }

  get #what(): string {
    return subject("Application", this.#app.name);
  }
}

function still(running: readonly string[]): string {
  return running.length === 0 ? "" : `, still running: ${running.join(", ")}`;
}
