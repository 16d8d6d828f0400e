/** Starts child processes that can be ended together with all they started. @module */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import process from "node:process";

const running = new Set<ChildProcess>();

/** How a child ended, and why it was stopped if it was. */
export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  /** Set when it was killed for running longer than its limit. */
  readonly tooLong: boolean;
}

/** What to run, and who gets its output. */
export interface ChildOptions {
  readonly cwd: string;
  /** Added to this process's environment; `undefined` takes one away. */
  readonly env?: Record<string, string | undefined>;
  readonly limitMs: number;
  readonly onLine: (line: string, stream: "stdout" | "stderr") => void;
}

/** Runs a command to its end. It gets a process group of its own, which is killed as a whole when `limitMs` is over. */
export function runChild(command: string, args: readonly string[], options: ChildOptions): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: process.platform !== "win32",
    });
    running.add(child);
    let tooLong = false;
    const limit = setTimeout(() => {
      tooLong = true;
      kill(child);
    }, options.limitMs);
    const flushes = (["stdout", "stderr"] as const).map((name) => {
      let rest = "";
      child[name].setEncoding("utf8").on("data", (chunk: string) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop()!;
        for (const line of lines) options.onLine(line.replace(/\r$/, ""), name);
      });
      return () => rest !== "" && options.onLine(rest, name);
    });
    const settle = (): void => {
      clearTimeout(limit);
      running.delete(child);
    };
    child.on("error", (error) => {
      settle();
      reject(error);
    });
    // A grandchild that outlives the child may hold the pipes open for ever: "exit", then a moment for the rest.
    child.on("exit", (code, signal) => {
      const finish = (): void => {
        clearTimeout(patience);
        settle();
        for (const flush of flushes) flush();
        resolve({ code, signal, tooLong });
      };
      const patience = setTimeout(() => {
        kill(child);
        child.stdout.destroy();
        child.stderr.destroy();
        finish();
      }, 2_000);
      child.on("close", finish);
    });
  });
}

/** Kills every child still running when this process is told to stop, then ends it as the signal would. */
export function killChildrenOnSignal(): void {
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
    if (process.platform === "win32" && signal !== "SIGINT") continue;
    process.on(signal, () => {
      for (const child of running) kill(child);
      process.exit(code);
    });
  }
}

function kill(child: ChildProcess): void {
  if (child.pid === undefined) return;
  if (process.platform === "win32") {
    spawnSync("taskkill", ["/pid", String(child.pid), "/t", "/f"]);
    return;
  }
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // The group is gone already.
  }
}
