/** Starting a server's own process for tests, and being sure that it ends: it does with the process that asked for it. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** A server that runs. */
export interface ServerProcess {
  readonly port: number;
  /** Ends it at once, by its process id; its folder stays. */
  stop(): Promise<void>;
}

/** How a server is started. */
export interface ServerCommand {
  readonly program: string;
  arguments(port: number): readonly string[];
  /** What it prints when it can be talked to. */
  readonly ready: RegExp;
  /** The signal that ends it at once. */
  readonly signal: "QUIT" | "KILL";
  /** The user it runs as, where this process may choose. */
  readonly user: string | undefined;
}

// Its standard input is a pipe from the process that asked for the server: when that is gone, however it ended, the
// input ends, and so does the server; signals sent to the whole group of processes are left to that. The word "keep" leaves the folder, for the server to be started again.
const KEEPER = `trap '' HUP INT TERM
dir=$1 signal=$2; shift 2
"$@" </dev/null &
pid=$!
read -r word || word=remove
exec >/dev/null 2>&1 # The other end may be gone, and writing to it would end this shell too early.
kill -"$signal" $pid 2>/dev/null
wait $pid
[ "$word" = keep ] || rm -rf "$dir"`;

const LIMIT_MS = 60_000;

/** Starts a server on a free port of the loopback interface, or the one it had, and waits until it can be talked to. */
export async function startServer(
  command: ServerCommand,
  folder: string,
  had?: number,
): Promise<ServerProcess> {
  for (let attempt = 1;; attempt++) {
    const port = had ?? await freePort();
    try {
      return await start(command, folder, port);
    } catch (error) {
      // Somebody else may have taken the port in between.
      if (attempt === 3 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}

function start(command: ServerCommand, folder: string, port: number): Promise<ServerProcess> {
  const { program, ready, signal, user } = command;
  const line = [...asUser(user), program, ...command.arguments(port)];
  const keeper = spawn("sh", ["-c", KEEPER, "keeper", folder, signal, ...line], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  let said = "";
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => failed(`not ready within ${LIMIT_MS} ms`), LIMIT_MS);
    const failed = (why: string): void => {
      clearTimeout(limit);
      keeper.stdin.end("keep\n");
      reject(new Error(`Cannot start ${program}: ${why}\n${said.slice(-2000)}`));
    };
    let isReady = false;
    const hear = (chunk: Uint8Array): void => {
      if (isReady) return;
      said += new TextDecoder().decode(chunk);
      isReady = ready.test(said);
      // What it says to clients who come too early is no failure of its own.
      if (isReady) {
        clearTimeout(limit);
        resolve({ port, stop: () => stop(keeper) });
      } else if (/FATAL(?!: *the database system is)|Aborting/.test(said)) failed("it gave up");
    };
    keeper.stdout.on("data", hear);
    keeper.stderr.on("data", hear);
    keeper.on("error", (error) => failed(error.message));
    keeper.on("exit", (code) => failed(`ended with ${code}`));
    letGo(keeper);
  });
}

/** The process that asked may end without it: the pipe's end is enough. */
function letGo(keeper: ChildProcess): void {
  keeper.unref();
  for (const stream of [keeper.stdin, keeper.stdout, keeper.stderr]) {
    (stream as unknown as { unref?(): void } | null)?.unref?.();
  }
}

async function stop(keeper: ChildProcess): Promise<void> {
  if (keeper.exitCode !== null) return;
  keeper.ref();
  const ended = new Promise<void>((resolve) => keeper.once("exit", () => resolve()));
  keeper.stdin!.end("keep\n");
  await ended;
}

/** A folder that the user whom the server runs as may write to. */
export function serverFolder(user: string | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), "uno-async-server-"));
  chmodSync(folder, 0o700);
  if (user !== undefined && isRoot()) execFileSync("chown", ["-R", user, folder]);
  return folder;
}

/** Removes it, with all in it. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

/** Runs a program to its end, as that user. */
export function runAs(user: string | undefined, program: string, args: readonly string[]): void {
  const [first, ...rest] = [...asUser(user), program, ...args];
  execFileSync(first!, rest, { stdio: ["ignore", "pipe", "pipe"], cwd: tmpdir() });
}

/** What comes before a command so that it runs as that user; nothing where this process may not choose. */
function asUser(user: string | undefined): readonly string[] {
  if (user === undefined || !isRoot()) return [];
  return ["setpriv", `--reuid=${user}`, `--regid=${groupOf(user)}`, "--clear-groups", "--"];
}

function groupOf(user: string): string {
  return execFileSync("id", ["-g", user], { encoding: "utf8" }).trim();
}

/** Whether this process may run others as any user; PostgreSQL then refuses to run as ours. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** The first of these users that exists. */
export function existingUser(...names: readonly string[]): string | undefined {
  return names.find((name) => {
    try {
      execFileSync("id", [name], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
