/** The host of runtimes with Node's `process`. */
import { show } from "../../kernel/checks.ts";
import { type Host, SignalHub, type SignalName, type StopSignal } from "../host.ts";

/** The members of `process` that are used. */
export interface ProcessLike {
  exitCode?: number | string | null | undefined;
  readonly stdout: { readonly isTTY?: boolean | undefined; readonly columns?: number | undefined };
  on(signal: string, listener: () => void): unknown;
  removeListener(signal: string, listener: () => void): unknown;
  exit(code: number): never;
  /** Missing in Node before 20.16; not an import, which those who bundle for elsewhere would stumble over. */
  getBuiltinModule?(id: "node:os"): { readonly constants: { readonly signals: object } } | undefined;
}

/** What ends or stops a process whether it wants to or not; Bun lets one listen to them in vain. */
const unheard: readonly string[] = ["SIGKILL", "SIGSTOP"];

/** A host over `process`. */
export class ProcessHost implements Host {
  readonly #process: ProcessLike;
  readonly #signals: SignalHub;

  constructor(process: ProcessLike) {
    this.#process = process;
    this.#signals = new SignalHub({
      add(signal, listener) {
        // Of itself it takes any name, and never calls.
        const known = process.getBuiltinModule?.("node:os")?.constants.signals;
        if (known !== undefined && (!Object.hasOwn(known, signal) || unheard.includes(signal))) {
          throw new TypeError(
            `Cannot listen to ${show(signal)}: the platform has no such signal to listen to`,
          );
        }
        process.on(signal, listener);
      },
      remove: (signal, listener) => void process.removeListener(signal, listener),
    });
  }

  onStop(f: (signal: StopSignal) => void): Disposable {
    return this.#signals.listenToStop(f);
  }

  onSignal(signal: SignalName, f: (signal: SignalName) => void): Disposable {
    return this.#signals.listen(signal, f);
  }

  setExitCode(code: number): void {
    this.#process.exitCode = code;
  }

  exit(code: number): never {
    return this.#process.exit(code);
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
    const { isTTY, columns } = this.#process.stdout;
    return { out: isTTY === true, ...(columns === undefined ? {} : { columns }) };
  }
}
