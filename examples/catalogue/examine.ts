/** The second part of the pipeline: what each path is, and what is in it. */
import { timeout } from "@uno/async/cancel";
import { Limiter, type LimiterStatistics, retry, type Run } from "@uno/async/flow";
import type { Question, Read } from "./entry.ts";
import { isTransient } from "./file_error.ts";
import { LargeFiles } from "./hash_large.ts";
import { SmallFiles } from "./hash_small.ts";
import type { Options } from "./options.ts";
import type { Outcome } from "./store.ts";

/** What the closing report shows of it. */
export interface ExamineStatistics {
  readonly openFiles: LimiterStatistics;
  readonly largeFiles: LimiterStatistics;
  readonly threads: { readonly count: number; readonly handfuls: number; readonly files: number };
  readonly retries: number;
}

/** Looks at paths: how many at once, how long each, and how often again. */
export class Examiner implements AsyncDisposable {
  readonly #timeoutMs: number;
  readonly #openFiles: Limiter;
  readonly #small: SmallFiles;
  readonly #large: LargeFiles;
  readonly #again: Run<unknown>;
  #retries = 0;

  constructor(root: string, { concurrency, fileTimeoutMs }: Options) {
    this.#timeoutMs = fileTimeoutMs;
    this.#openFiles = new Limiter({ name: "open files", limit: concurrency });
    this.#small = new SmallFiles(root, concurrency);
    this.#large = new LargeFiles(root, { concurrency, idleMs: fileTimeoutMs });
    this.#again = retry({
      name: "files",
      attempts: 5,
      baseMs: 20,
      when: isTransient,
      onRetry: () => void this.#retries++,
    });
  }

  /**
   * Looks at one path. A file that can't be read is an outcome, not a failure of the whole.
   *
   * @throws The reason of `signal`, unchanged.
   */
  async examine(question: Question, { signal }: { signal: AbortSignal }): Promise<Outcome> {
    const { path } = question;
    try {
      return await this.#again.run(() => this.#once(question, signal)) ?? { is: "unchanged", path };
    } catch (error) {
      signal.throwIfAborted();
      return { is: "failed", path, error };
    }
  }

  /** What the parts did. */
  statistics(): ExamineStatistics {
    const { batches, granted } = this.#small.statistics();
    return {
      openFiles: this.#openFiles.statistics(),
      largeFiles: this.#large.statistics(),
      threads: { count: this.#small.threads, handfuls: batches, files: granted },
      retries: this.#retries,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#small[Symbol.asyncDispose]();
  }

  /** One attempt; `undefined` for what is as it was. */
  async #once(question: Question, signal: AbortSignal): Promise<Read | undefined> {
    // The slot around the limit, so that the clock runs only while the file is in work.
    const answer = await this.#openFiles.run(() =>
      timeout(this.#timeoutMs, (scope) => this.#small.look(question, scope), {
        signal,
        operation: "read file",
      })
    );
    if (answer.is === "unchanged") return undefined;
    return answer.is === "read" ? answer : await this.#large.read(question.path, answer.stamp, { signal });
  }
}
