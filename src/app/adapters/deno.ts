/** Deno's process as a host. */
import type { Host } from "../host.ts";
import { ProcessHost, type ProcessLike } from "./_process.ts";

/** The members of `Deno` that are used. */
interface DenoLike {
  exitCode: number;
  readonly stdout: { isTerminal(): boolean };
  addSignalListener(signal: string, listener: () => void): void;
  removeSignalListener(signal: string, listener: () => void): void;
  consoleSize(): { readonly columns: number };
  exit(code: number): never;
}

/** `Deno` in the words of `process`. */
function processOf(deno: DenoLike): ProcessLike {
  return {
    get exitCode(): number {
      return deno.exitCode;
    },
    set exitCode(code: number) {
      deno.exitCode = code;
    },
    stdout: {
      get isTTY(): boolean {
        return deno.stdout.isTerminal();
      },
      get columns(): number | undefined {
        return deno.stdout.isTerminal() ? deno.consoleSize().columns : undefined;
      },
    },
    on: (signal, listener) => deno.addSignalListener(signal, listener),
    removeListener: (signal, listener) => deno.removeSignalListener(signal, listener),
    exit: (code) => deno.exit(code),
  };
}

let host: Host | undefined;

/** The host of this process: one, as the process has one owner of its signals. */
export function denoHost(): Host {
  return host ??= new ProcessHost(processOf((globalThis as unknown as { Deno: DenoLike }).Deno));
}
