/** Runs the catalogue as a process of its own, on the runtime of the test. */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** How a run ended. */
export interface End {
  /** Its exit code, or the name of the signal that ended it. */
  readonly by: number | string | null;
  readonly out: string;
  readonly err: string;
}

/** Longer than any of them takes; a test that waits for so long has failed. */
const LIMIT_MS = 60_000;
/** Node starts in half the time when it need not strip the types of each file again. */
const NODE_COMPILE_CACHE = fileURLToPath(new URL("../../../.cache/node-compile", import.meta.url));
const main = fileURLToPath(new URL("../../../examples/catalogue/main.ts", import.meta.url));

/** Node 22 says on its error output that its SQLite is experimental, before anything of ours. */
const before = "Deno" in globalThis
  ? ["run", "-A", "--no-check"]
  : "Bun" in globalThis
  ? []
  : ["--disable-warning=ExperimentalWarning"];

/** One run of the catalogue. */
export class Run implements AsyncDisposable {
  readonly #process: ChildProcess;
  /** Resolves when it has ended. */
  readonly ended: Promise<End>;

  constructor(args: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}) {
    this.#process = spawn(process.execPath, [...before, main, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      cwd: options.cwd,
      env: { NODE_COMPILE_CACHE, ...process.env, ...options.env },
    });
    let [out, err] = ["", ""];
    this.#process.stdout!.on("data", (data) => out += String(data));
    this.#process.stderr!.on("data", (data) => err += String(data));
    const limit = setTimeout(() => this.send("SIGKILL"), LIMIT_MS);
    this.ended = new Promise((resolve) => {
      this.#process.on("close", (code, signal) => {
        clearTimeout(limit);
        resolve({ by: signal ?? code, out, err });
      });
    });
  }

  /** Sends a signal, if it still runs. */
  send(signal: "SIGINT" | "SIGTERM" | "SIGKILL" | "SIGSTOP"): void {
    // Not the child's own kill: under Deno it counts as how the process ended, and works once.
    try {
      process.kill(this.#process.pid!, signal);
    } catch (error) {
      if ((error as { code?: string }).code !== "ESRCH") throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.send("SIGKILL");
    await this.ended;
  }
}

/** Runs it to its end. */
export async function run(...args: string[]): Promise<End> {
  await using process = new Run(args);
  return await process.ended;
}
