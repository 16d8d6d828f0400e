/** Deno's process as a host. */
import { type Host, SignalHub, type SignalName, type StopSignal } from "../host.ts";

/** The members of `Deno` that are used. */
interface DenoLike {
  exitCode: number;
  readonly stdout: { isTerminal(): boolean };
  addSignalListener(signal: string, listener: () => void): void;
  removeSignalListener(signal: string, listener: () => void): void;
  consoleSize(): { readonly columns: number };
  exit(code: number): never;
}

class DenoHost implements Host {
  readonly #deno: DenoLike;
  readonly #signals: SignalHub;

  constructor(deno: DenoLike) {
    this.#deno = deno;
    this.#signals = new SignalHub({
      add: (signal, listener) => deno.addSignalListener(signal, listener),
      remove: (signal, listener) => deno.removeSignalListener(signal, listener),
    });
  }

  onStop(f: (signal: StopSignal) => void): Disposable {
    return this.#signals.listenToStop(f);
  }

  onSignal(signal: SignalName, f: (signal: SignalName) => void): Disposable {
    return this.#signals.listen(signal, f);
  }

  setExitCode(code: number): void {
    this.#deno.exitCode = code;
  }

  exit(code: number): never {
    return this.#deno.exit(code);
  }

  keepAlive(): Disposable {
    const timer = setInterval(() => {}, 2 ** 31 - 1);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  quiet(): Promise<void> {
    return this.#signals.quiet();
  }

  printError(text: string): void {
    console.error(text);
  }

  get terminal(): { readonly out: boolean; readonly columns?: number } {
    if (!this.#deno.stdout.isTerminal()) return { out: false };
    return { out: true, columns: this.#deno.consoleSize().columns };
  }
}

let host: Host | undefined;

/** The host of this process: one, as the process has one owner of its signals. */
export function denoHost(): Host {
  return host ??= new DenoHost((globalThis as unknown as { Deno: DenoLike }).Deno);
}
