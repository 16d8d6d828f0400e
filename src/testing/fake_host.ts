import { type Host, SignalHub, type SignalName, type StopSignal } from "../app/host.ts";
import { MisuseError } from "../kernel/errors.ts";

/** Thrown by {@linkcode FakeHost.exit}, which must not return. */
export class FakeExit extends Error {
  static {
    this.prototype.name = "FakeExit";
  }
  /** What the process would have exited with. */
  readonly code: number;

  /** Creates it for an exit with `code`. */
  constructor(code: number) {
    super(`Cannot go on after exit(${code}): the process would have ended`);
    this.code = code;
  }
}

/**
 * A process for tests of applications: signals come from the test, and exiting is written down.
 *
 * It keeps the promises of a host: listeners are composable and removable, and equal signals within 100 ms (of virtual
 * time, in a `world`) are one.
 *
 * @example
 * ```ts
 * import { runApplication } from "@uno/async/app";
 * import { FakeHost } from "@uno/async/testing";
 * import assert from "node:assert/strict";
 *
 * const host = new FakeHost();
 * const running = runApplication((app) => app.stopRequested(), { host });
 * await host.heard("SIGTERM");
 * host.send("SIGTERM");
 * await running;
 * assert.equal(host.exitCode, 143);
 * assert.deepEqual(host.listening, []);
 * ```
 */
export class FakeHost implements Host {
  /** What the output goes to. */
  readonly terminal: { readonly out: boolean; readonly columns?: number };
  /** What was printed, a text each. */
  readonly printed: string[] = [];
  /** The codes of all calls of `exit`: a process has one at most. */
  readonly exits: number[] = [];
  /** What the process would exit with; `undefined` when nobody has set it. */
  exitCode: number | undefined;
  readonly #sent = new Map<SignalName, () => void>();
  readonly #waiting = new Set<{ readonly signal: SignalName; readonly found: () => void }>();
  readonly #hub = new SignalHub({
    add: (signal, listener) => {
      this.#sent.set(signal, listener);
      for (const each of [...this.#waiting]) {
        if (each.signal === signal && this.#waiting.delete(each)) each.found();
      }
    },
    remove: (signal) => void this.#sent.delete(signal),
  });
  #alive = 0;

  /** Creates a process that nobody listens to. */
  constructor(options: { terminal?: { out: boolean; columns?: number } } = {}) {
    this.terminal = options.terminal ?? { out: false };
  }

  /** The signals somebody listens to. */
  get listening(): readonly SignalName[] {
    return this.#hub.listening;
  }

  /** Whether something keeps the process alive. */
  get keptAlive(): boolean {
    return this.#alive > 0;
  }

  /**
   * Sends a signal.
   *
   * @throws {MisuseError} When nobody listens to it: a real process would end here.
   */
  send(signal: SignalName): void {
    const listener = this.#sent.get(signal);
    if (listener === undefined) {
      throw new MisuseError(`Cannot send ${signal}: nobody listens to it, and a process would end`);
    }
    listener();
  }

  /** Resolves when somebody listens to a signal. */
  async heard(signal: SignalName): Promise<void> {
    if (this.#sent.has(signal)) return;
    await new Promise<void>((found) => this.#waiting.add({ signal, found }));
  }

  /** Calls `f` at each SIGINT and SIGTERM that is sent. */
  onStop(f: (signal: StopSignal) => void): Disposable {
    return this.#hub.listenToStop(f);
  }

  /** Calls `f` at each signal of that name that is sent. */
  onSignal(signal: SignalName, f: (signal: SignalName) => void): Disposable {
    return this.#hub.listen(signal, f);
  }

  /** Writes the code down in {@linkcode exitCode}. */
  setExitCode(code: number): void {
    this.exitCode = code;
  }

  /** Writes the code down in {@linkcode exits}, and throws a {@linkcode FakeExit}. */
  exit(code: number): never {
    this.exits.push(code);
    this.exitCode = code;
    throw new FakeExit(code);
  }

  /** Is counted in {@linkcode keptAlive}. */
  keepAlive(): Disposable {
    this.#alive++;
    let alive = true;
    return {
      [Symbol.dispose]: (): void => {
        if (alive) this.#alive--;
        alive = false;
      },
    };
  }

  /** Writes the text down in {@linkcode printed}. */
  printError(text: string): void {
    this.printed.push(text);
  }
}
