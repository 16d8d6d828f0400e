import { checkFunction, checkOptions, checkRecord } from "../kernel/checks.ts";
import { TaskGroup } from "../task/task_group.ts";
import { describeError } from "./_describe_error.ts";
import { detectHost } from "./adapters/detect.ts";
import { checkHost, type Host, type SignalName } from "./host.ts";

/** What a handler of process signals gets. */
export interface SignalContext {
  /** Which signal came. */
  readonly name: SignalName;
  /** Aborted when the registration ends. */
  readonly signal: AbortSignal;
}

/** Handlers by the names of their signals. */
export type SignalHandlers = { readonly [name in SignalName]?: (context: SignalContext) => unknown };

/** Options of {@linkcode registerSignalHandlers}. */
export interface SignalHandlerOptions {
  /** The process; by default that of the runtime this runs on. */
  host?: Host | undefined;
  /** Gets what a handler throws. Default: it is shown on standard error. */
  onError?: ((error: unknown, name: SignalName) => void) | undefined;
}

/**
 * Runs handlers at process signals, such as a reload at SIGHUP, until disposed.
 *
 * **Several** — registrations are independent of one another and of {@linkcode runApplication}: at each signal all
 * handlers run. **Default** — while there is a handler, the runtime's own answer to the signal is off; it is back when
 * the last one has gone. **Work** — each call runs as a task; equal signals within 100 ms are one; the next one does not
 * wait for the handler of the last one to end. **Dispose** — listens no more, cancels handlers that run, and waits for
 * them: a handler may dispose it, but not wait for that. **Process** — is not kept alive by it.
 *
 * @param handlers By signal name; one that is undefined is left out. What the platform does not know is an error.
 * @returns What ends it.
 *
 * @example
 * ```ts
 * import { registerSignalHandlers } from "@uno/async/app";
 *
 * await using _handlers = await registerSignalHandlers({
 *   SIGHUP: async ({ signal }) => {
 *     await Promise.resolve(signal); // Load the settings anew.
 *   },
 * });
 * ```
 */
export async function registerSignalHandlers(
  handlers: SignalHandlers,
  options: SignalHandlerOptions = {},
): Promise<AsyncDisposable> {
  const doing = "register signal handlers";
  checkRecord(doing, "handlers", handlers);
  checkOptions(doing, options);
  const entries = Object.entries(handlers).filter(([, handler]) => handler !== undefined) as [
    SignalName,
    (context: SignalContext) => unknown,
  ][];
  for (const [name, handler] of entries) checkFunction(doing, name, handler);
  if (options.host !== undefined) checkHost(doing, options.host);
  const { host = await detectHost(), onError = showOn(host) } = options;
  checkFunction(doing, "onError", onError);
  const group = new TaskGroup({ name: "signal handlers", policy: "supervise" });
  const listening: Disposable[] = [];
  const heard = (name: SignalName, handler: (context: SignalContext) => unknown): void => {
    const task = group.spawn(({ signal }) => handler({ name, signal }), { name });
    task.catch((error) => task.state === "failed" ? onError(error, name) : undefined).catch((error) =>
      showOn(host)(error, name)
    );
  };
  try {
    for (const [name, handler] of entries) listening.push(listen(host, name, () => heard(name, handler)));
  } catch (error) {
    for (const each of listening) each[Symbol.dispose]();
    throw error;
  }
  return {
    async [Symbol.asyncDispose](): Promise<void> {
      for (const each of listening) each[Symbol.dispose]();
      group.cancel();
      await group.join();
    },
  };
}

function listen(host: Host, name: SignalName, f: () => void): Disposable {
  if (host.onSignal !== undefined) return host.onSignal(name, f);
  if (name !== "SIGINT" && name !== "SIGTERM") {
    throw new TypeError(
      `Cannot listen to ${name} as the host must have onSignal: it knows SIGINT and SIGTERM`,
    );
  }
  return host.onStop((signal) => {
    if (signal === name) f();
  });
}

function showOn(host: Host): (error: unknown, name: SignalName) => void {
  return (error, name) => {
    const text = `Handler of ${name} failed: ${describeError(error)}`;
    if (host.printError === undefined) console.error(text);
    else host.printError(text);
  };
}
