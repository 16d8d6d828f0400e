/**
 * Runs in a thread of its own: examines a handful of small files for each message.
 *
 * All calls are synchronous. For a small file that lies in the system's cache, going to a pool of threads and back for
 * each of open, read and close costs several times what the calls themselves do; and nobody is kept waiting by them
 * here.
 */
import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import { closeSync, lstatSync, openSync, readlinkSync, readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { collect } from "./collect.ts";
import type { Question } from "./entry.ts";
import { LARGE, READ_ONLY } from "./file_access.ts";
import { CHANGED, FileError, type Refusal, refusalAt } from "./file_error.ts";

/** Answers in the order of the questions, in columns: on the way between threads they cost a third of objects. */
export interface Answers {
  readonly is: ("file" | "link" | "other" | "large" | "unchanged" | "refused")[];
  readonly size: number[];
  readonly mtimeMs: number[];
  /** The SHA-256 of a file, the target of a link. */
  readonly text: (string | null)[];
  readonly ms: number[];
  /** Why it was refused, by index. */
  readonly refusals: Map<number, Refusal>;
}

/** So many messages, and so much native garbage, is fine. */
const COLLECT_AFTER = 250;

const { root } = workerData as { root: string };
const buffer = Buffer.allocUnsafe(LARGE);
let messages = 0;

parentPort!.on("message", (questions: readonly Question[]) => {
  const answers: Answers = { is: [], size: [], mtimeMs: [], text: [], ms: [], refusals: new Map() };
  let now = performance.now();
  for (const [i, question] of questions.entries()) {
    try {
      examine(question, i, answers);
    } catch (error) {
      answers.is[i] = "refused";
      answers.refusals.set(i, refusalAt(question.path, error));
    }
    const began = now;
    answers.ms[i] = (now = performance.now()) - began;
  }
  parentPort!.postMessage(answers);
  if (++messages % COLLECT_AFTER === 0) collect();
});

/** Fills in one answer, or throws. */
function examine({ path, known }: Question, i: number, answers: Answers): void {
  const whole = `${root}/${path}`;
  const stats = lstatSync(whole);
  const { size } = stats;
  const mtimeMs = Math.floor(stats.mtimeMs);
  let text: string | null = null;
  let is: Answers["is"][number] = "other";
  if (known?.size === size && known.mtimeMs === mtimeMs) is = "unchanged";
  else if (stats.isSymbolicLink()) [is, text] = ["link", readlinkSync(whole)];
  else if (stats.isFile()) [is, text] = size < LARGE ? ["file", hashOf(whole, size)] : ["large", null];
  answers.is[i] = is;
  answers.size[i] = size;
  answers.mtimeMs[i] = mtimeMs;
  answers.text[i] = text;
}

function hashOf(file: string, size: number): string {
  const handle = openSync(file, READ_ONLY);
  try {
    let length = 0;
    for (let more = 1; more > 0 && length < size; length += more) {
      more = readSync(handle, buffer, length, size - length, null);
    }
    if (length < size) throw new FileError(CHANGED);
    return hash("sha256", buffer.subarray(0, length), "hex");
  } finally {
    closeSync(handle);
  }
}
