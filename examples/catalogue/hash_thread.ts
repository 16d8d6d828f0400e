/**
 * Runs in a thread of its own: looks at small files and hashes them.
 *
 * All calls here are synchronous. For a small file that lies in the system's cache, going to a pool of threads and
 * back for each of open, read and close costs several times what the calls themselves do; and here nobody is kept
 * waiting by them.
 */
import { hash } from "node:crypto";
import { Buffer } from "node:buffer";
import { closeSync, constants, lstatSync, openSync, readlinkSync, readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { Answer, Question, Stamp } from "./entry.ts";
import { FileError } from "./file_error.ts";

/** A failure on its way between threads, where an error would lose its code. */
export interface Refusal {
  readonly is: "refused";
  readonly code: string;
  readonly message: string;
}

/** Files of this size and above are left to `hash_large.ts`. */
const LARGE = 1 << 20;

// Neither follows a link that took the file's place meanwhile, nor waits for the other end of a pipe that did.
const READ = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

const { root } = workerData as { root: string };
const buffer = Buffer.allocUnsafe(LARGE);

parentPort!.on("message", (questions: Question[]) => {
  parentPort!.postMessage(questions.map((question) => {
    try {
      return look(question);
    } catch (error) {
      const { code = "UNKNOWN", message } = error as { code?: string; message: string };
      return { is: "refused", code, message } satisfies Refusal;
    }
  }));
});

function look({ path, known }: Question): Answer {
  const begun = performance.now();
  const whole = `${root}/${path}`;
  const stats = lstatSync(whole);
  const stamp = { size: stats.size, mtimeMs: Math.floor(stats.mtimeMs) };
  if (known?.size === stamp.size && known.mtimeMs === stamp.mtimeMs) return { is: "unchanged" };
  const isFile = stats.isFile();
  if (isFile && stamp.size >= LARGE) return { is: "large", stamp };
  const kind = isFile ? "file" : stats.isSymbolicLink() ? "link" : "other";
  const sha256 = isFile ? hashOf(whole, stamp) : null;
  const target = kind === "link" ? readlinkSync(whole) : null;
  return { is: "read", entry: { path, kind, ...stamp, sha256, target }, ms: performance.now() - begun };
}

function hashOf(file: string, { size }: Stamp): string {
  const handle = openSync(file, READ);
  try {
    let length = 0;
    for (let more = 1; more > 0 && length < size; length += more) {
      more = readSync(handle, buffer, length, size - length, null);
    }
    if (length < size) throw new FileError("ECHANGED", "it changed while it was read");
    return hash("sha256", buffer.subarray(0, length), "hex");
  } finally {
    closeSync(handle);
  }
}
