/** A process of the same runtime as the test, that tells by lines how far it is. */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** How a process ended. */
export interface End {
  /** Its exit code, or the name of the signal that ended it. */
  readonly by: number | string | null;
  readonly out: readonly string[];
  readonly err: string;
}

/** Longer than any of them takes; a test that waits for so long has failed. */
const LIMIT_MS = 30_000;

export class Child implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #ended: Promise<End>;
  readonly #out: string[] = [];
  readonly #waiting = new Set<() => void>();
  #err = "";
  #rest = "";

  /** Starts a program of this folder. */
  constructor(program: string, ...args: string[]) {
    const file = fileURLToPath(new URL(program, import.meta.url));
    const before = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
    this.#process = spawn(process.execPath, [...before, file, ...args], { stdio: "pipe" });
    const limit = setTimeout(() => this.send("SIGKILL"), LIMIT_MS);
    this.#process.stdout!.on("data", (data) => this.#read(String(data)));
    this.#process.stderr!.on("data", (data) => this.#err += String(data));
    this.#ended = new Promise((resolve) => {
      this.#process.on("close", (code, signal) => {
        clearTimeout(limit);
        resolve({ by: signal ?? code, out: this.#out, err: this.#err });
      });
    });
  }

  /** Resolves when the process has written that line, so many times. */
  async line(line: string, times = 1): Promise<void> {
    const written = (): boolean => this.#out.filter((each) => each === line).length >= times;
    while (!written()) {
      const over = await Promise.race([this.#more().then(() => false), this.#ended.then(() => true)]);
      if (over && !written()) {
        throw new Error(`Cannot read "${line}": the process ended with ${JSON.stringify(await this.#ended)}`);
      }
    }
  }

  /** Sends a signal, if it still runs. */
  send(signal: "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGUSR2" | "SIGKILL"): void {
    // Not the child's own kill: under Deno it counts as how the process ended, and works once.
    try {
      process.kill(this.#process.pid!, signal);
    } catch (error) {
      if ((error as { code?: string }).code !== "ESRCH") throw error;
    }
  }

  write(line: string): void {
    this.#process.stdin!.write(line + "\n");
  }

  /** Resolves when it has ended. */
  ended(): Promise<End> {
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.send("SIGKILL");
    await this.#ended;
  }

  /** Resolves when something more is written. */
  #more(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    this.#out.push(...lines);
    for (const look of [...this.#waiting]) look();
  }
}
