/** The second stage, seen from a handful of paths: what each one is, and what is in it. */
import { timeout } from "@uno/async/cancel";
import { Limiter, type LimiterStatistics, retry, type Run } from "@uno/async/flow";
import { availableParallelism } from "node:os";
import type { Outcome, Question } from "./entry.ts";
import { FileError, isTransient } from "./file_error.ts";
import { hashPieces } from "./hash_large.ts";
import type { Answers } from "./hash_thread.ts";
import type { Options } from "./options.ts";
import { Thread } from "./thread.ts";

/** What the closing report shows of it. */
export interface ExamineStatistics {
  readonly openFiles: LimiterStatistics;
  readonly threads: number;
  readonly retries: number;
}

/**
 * Examines paths: small files by the handful, in threads; large ones and troublesome ones one by one.
 *
 * A thread has one file open at a time, so that one slot of the limiter is one open file, for a handful as for a large
 * file.
 */
export class Examiner implements AsyncDisposable {
  readonly #root: string;
  readonly #timeoutMs: number;
  readonly #openFiles: Limiter;
  readonly #again: Run<unknown>;
  readonly #threads: Thread<readonly Question[], Answers>[];
  #retries = 0;

  constructor(root: string, { concurrency, fileTimeoutMs }: Options) {
    this.#root = root;
    this.#timeoutMs = fileTimeoutMs;
    this.#openFiles = new Limiter({ name: "open files", limit: concurrency });
    this.#again = retry({
      name: "files",
      attempts: 5,
      baseMs: 20,
      when: isTransient,
      onRetry: () => void this.#retries++,
    });
    const threads = Math.min(concurrency, availableParallelism(), 8);
    this.#threads = Array.from(
      { length: threads },
      () => new Thread(new URL("./hash_thread.ts", import.meta.url), { root }),
    );
  }

  /**
   * Examines a handful: gives the outcomes of most at once, and of the others one by one, so that nobody waits for
   * them. What can't be read is an outcome, not a failure of the whole.
   *
   * @throws The reason of `signal`, unchanged.
   */
  async *examine(handful: readonly Question[], signal: AbortSignal): AsyncGenerator<Outcome[], void, void> {
    const outcomes: Outcome[] = [];
    // Large ones, those to be tried again, and all when one took too long: only one by one it shows which.
    const others: Question[] = [];
    const answers = await this.#ask(handful, signal).catch(() => undefined);
    signal.throwIfAborted();
    for (let i = 0; i < handful.length; i++) {
      const outcome = answers && outcomeOf(handful[i]!, answers, i);
      if (outcome !== undefined) outcomes.push(outcome);
      else others.push(handful[i]!);
    }
    yield outcomes;
    for (const question of others) yield [await this.#examineOne(question, signal)];
  }

  /** What the parts did. */
  statistics(): ExamineStatistics {
    return {
      openFiles: this.#openFiles.statistics(),
      threads: this.#threads.length,
      retries: this.#retries,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread[Symbol.asyncDispose]()));
  }

  async #examineOne(question: Question, signal: AbortSignal): Promise<Outcome> {
    const { path } = question;
    try {
      return await this.#again.run(async () => {
        const answers = await this.#ask([question], signal);
        const refusal = answers.refusals.get(0);
        if (refusal !== undefined) throw new FileError(refusal);
        return outcomeOf(question, answers, 0) ?? await this.#read(path, answers, signal);
      });
    } catch (error) {
      signal.throwIfAborted();
      return { is: "failed", path, error };
    }
  }

  /** Asks the thread with least to do. The slot around the limit: its clock does not run while waiting for a slot. */
  #ask(questions: readonly Question[], signal: AbortSignal): Promise<Answers> {
    return this.#openFiles.run(() => {
      const thread = this.#threads.reduce((least, next) => next.busy < least.busy ? next : least);
      return timeout(this.#timeoutMs, (limit) => thread.ask(questions, limit.signal), {
        signal,
        operation: "examine file",
      });
    }, { signal });
  }

  /** Reads a large file. However long that takes: the limit is on not getting on. */
  async #read(
    path: string,
    { size: [size = 0], mtimeMs: [mtimeMs = 0] }: Answers,
    signal: AbortSignal,
  ): Promise<Outcome> {
    return await this.#openFiles.run(() => {
      const began = performance.now();
      return timeout(this.#timeoutMs, async (limit) => {
        const sha256 = await hashPieces(`${this.#root}/${path}`, size, limit);
        const entry = { path, kind: "file" as const, size, mtimeMs, sha256, target: null };
        return { is: "read" as const, entry, ms: performance.now() - began };
      }, { signal, idle: true, operation: "read large file" });
    }, { signal });
  }
}

/** The outcome of one question, if the answer to it was the last word. */
function outcomeOf({ path }: Question, answers: Answers, i: number): Outcome | undefined {
  const is = answers.is[i]!;
  const [size, mtimeMs, text, ms] = [answers.size[i]!, answers.mtimeMs[i]!, answers.text[i]!, answers.ms[i]!];
  switch (is) {
    case "large":
      return undefined;
    case "unchanged":
      return { is, path };
    case "refused": {
      const error = new FileError(answers.refusals.get(i)!);
      return isTransient(error) ? undefined : { is: "failed", path, error };
    }
    case "link":
      return { is: "read", entry: { path, kind: is, size, mtimeMs, sha256: null, target: text }, ms };
    default:
      return { is: "read", entry: { path, kind: is, size, mtimeMs, sha256: text, target: null }, ms };
  }
}
