/** The port to the process around an application, and what every host keeps about signals. */
import { sleep } from "../cancel/sleep.ts";
import { show } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";

/** The signals that ask an application to stop. */
export type StopSignal = "SIGINT" | "SIGTERM";

/** The name of a process signal, such as `"SIGHUP"`. */
export type SignalName = StopSignal | `SIG${string}`;

/**
 * The process around an application: the only way in which the library reaches it.
 *
 * **Signals** — listeners are composable and removable; equal signals within 100 ms are one, as task runners deliver a
 * Ctrl-C twice; the process listens only while somebody does, and its default behaviour is back afterwards.
 */
export interface Host {
  /** Calls `f` at each SIGINT and SIGTERM until disposed. */
  onStop(f: (signal: StopSignal) => void): Disposable;
  /** Calls `f` at each signal of that name until disposed. Throws when the platform has no such signal. */
  onSignal?(signal: SignalName, f: (signal: SignalName) => void): Disposable;
  /** Sets what the process will exit with when it ends by itself. */
  setExitCode(code: number): void;
  /** Ends the process at once. */
  exit(code: number): never;
  /** Keeps the process alive until disposed, even when nothing else does. */
  keepAlive?(): Disposable;
  /** Resolves when no echo of the last signal can come any more. */
  quiet?(): Promise<void>;
  /** Shows a line or more to whoever runs the process; standard error by default. */
  printError?(text: string): void;
  /** What the output goes to: whether `out` is a terminal, and how wide it is. */
  readonly terminal: { readonly out: boolean; readonly columns?: number };
}

/** Throws unless `value` has what every {@linkcode Host} has. */
export function checkHost(doing: string, value: unknown): void {
  const { onStop, setExitCode, exit } = (value ?? {}) as Partial<Host>;
  if ([onStop, setExitCode, exit].every((method) => typeof method === "function")) return;
  throw new TypeError(
    `Cannot ${doing} as host must have onStop(), setExitCode() and exit(): received ${show(value)}`,
  );
}

/** How a host listens to the signals of its process. */
export interface SignalSource {
  add(signal: SignalName, listener: () => void): void;
  remove(signal: SignalName, listener: () => void): void;
}

/** Equal signals within this time are one. */
const ECHO_MS = 100;

interface Line {
  readonly listener: () => void;
  readonly targets: Set<{ readonly tell: (signal: SignalName) => void }>;
}

/**
 * The one owner of a process's signals: keeps what {@linkcode Host} promises about them, whatever the platform's own
 * way to listen is.
 */
export class SignalHub {
  readonly #source: SignalSource;
  readonly #lines = new Map<SignalName, Line>();
  readonly #heardMs = new Map<SignalName, number>();

  /** Creates a hub that does not listen yet. */
  constructor(source: SignalSource) {
    this.#source = source;
  }

  /** The signals that are listened to right now. */
  get listening(): readonly SignalName[] {
    return [...this.#lines.keys()];
  }

  /** Calls `f` at each signal of that name until disposed. */
  listen<S extends SignalName>(signal: S, f: (signal: S) => void): Disposable {
    let line = this.#lines.get(signal);
    if (line === undefined) {
      line = { listener: () => this.#heard(signal), targets: new Set() };
      this.#source.add(signal, line.listener); // Throws for a signal that the platform does not have.
      this.#lines.set(signal, line);
    }
    const { listener, targets } = line;
    // A box of its own, so that one function may listen twice and be taken away once.
    const target = { tell: (name: SignalName) => f(name as S) };
    targets.add(target);
    return {
      [Symbol.dispose]: (): void => {
        if (!targets.delete(target) || targets.size > 0) return;
        this.#lines.delete(signal);
        this.#source.remove(signal, listener);
      },
    };
  }

  /** {@linkcode listen} for those of SIGINT and SIGTERM that the platform has. */
  listenToStop(f: (signal: StopSignal) => void): Disposable {
    const listening: Disposable[] = [this.listen("SIGINT", f)];
    try {
      listening.push(this.listen("SIGTERM", f));
    } catch {
      // Windows has none under Deno: Ctrl-C is then all there is.
    }
    return {
      [Symbol.dispose](): void {
        for (const each of listening) each[Symbol.dispose]();
      },
    };
  }

  /** Resolves when no echo of the last signal can come any more. */
  async quiet(): Promise<void> {
    for (;;) {
      const left = Math.max(-Infinity, ...this.#heardMs.values()) + ECHO_MS - clock().now();
      if (left <= 0) return;
      await sleep(left);
    }
  }

  #heard(signal: SignalName): void {
    const now = clock().now();
    if (now - (this.#heardMs.get(signal) ?? -Infinity) < ECHO_MS) return;
    this.#heardMs.set(signal, now);
    const targets = this.#lines.get(signal)?.targets ?? new Set();
    const errors: unknown[] = [];
    for (const target of [...targets]) {
      if (!targets.has(target)) continue; // One of those before has ended it.
      try {
        target.tell(signal);
      } catch (error) {
        errors.push(error);
      }
    }
    // After all were told: one listener's fault is not the others', but it is not hidden either.
    if (errors.length === 1) throw errors[0];
    if (errors.length === 0) return;
    const message = `Cannot tell all who listen to ${signal}: ${errors.length} of them failed`;
    throw new AggregateError(errors, message, { cause: errors[0] });
  }
}
