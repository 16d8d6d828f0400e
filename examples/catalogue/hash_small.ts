/** The second part of the pipeline, for the many small files: threads that look at them by the handful. */
import { AsyncBatcher, type AsyncBatcherStatistics } from "@uno/async/flow";
import { availableParallelism } from "node:os";
import type { Answer, Question } from "./entry.ts";
import { FileError } from "./file_error.ts";
import type { Refusal } from "./hash_thread.ts";
import { HashThread } from "./threads.ts";

/** How many files go to a thread with one message: a message costs about as much as a small file. */
const HANDFUL = 32;

/**
 * Looks at files in threads of their own.
 *
 * Callers ask about one file each; an `AsyncBatcher` makes handfuls of what they ask in the same moment. Each thread
 * has two handfuls at a time, so that it never waits for the next one.
 */
export class SmallFiles implements AsyncDisposable {
  readonly #threads: HashThread[];
  readonly #batcher: AsyncBatcher<Question, Answer>;

  constructor(root: string, concurrency: number) {
    const threads = Math.min(availableParallelism(), concurrency, 8);
    this.#threads = Array.from({ length: threads }, () => new HashThread(root));
    this.#batcher = new AsyncBatcher<Question, Answer>(
      (questions, { signal }) => this.#ask(questions, signal),
      {
        name: "hash threads",
        maxSize: HANDFUL,
        concurrency: 2 * threads,
      },
    );
  }

  /**
   * Looks at one file.
   *
   * @throws {FileError} When it can't be read.
   * @throws The reason of `signal`, unchanged.
   */
  look(question: Question, options: { signal: AbortSignal }): Promise<Answer> {
    return this.#batcher.add(question, options);
  }

  /** How many threads there are. */
  get threads(): number {
    return this.#threads.length;
  }

  /** What the batcher did. */
  statistics(): AsyncBatcherStatistics {
    return this.#batcher.statistics();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#batcher.close({ pending: "reject" });
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  async #ask(questions: readonly Question[], signal: AbortSignal): Promise<(Answer | FileError)[]> {
    const thread = this.#threads.reduce((least, next) => next.busy < least.busy ? next : least);
    const answers = await thread.ask(questions, signal);
    return answers.map((answer) => answer.is === "refused" ? errorOf(answer) : answer);
  }
}

function errorOf({ code, message }: Refusal): FileError {
  return new FileError(code, message);
}
