/** One thread, as something that can be asked and awaited. */
import { Worker } from "node:worker_threads";
import type { Answer, Question } from "./entry.ts";
import type { Refusal } from "./hash_thread.ts";

type Answers = (Answer | Refusal)[];

interface Asked {
  readonly questions: readonly Question[];
  readonly resolve: (answers: Answers) => void;
  readonly reject: (error: unknown) => void;
}

/** A thread that runs `hash_thread.ts`. It answers in the order in which it is asked. */
export class HashThread {
  readonly #root: string;
  #worker: Worker;
  #asked: Asked[] = [];

  constructor(root: string) {
    this.#root = root;
    this.#worker = this.#start();
  }

  /** How many handfuls it has. */
  get busy(): number {
    return this.#asked.length;
  }

  /**
   * Asks about files.
   *
   * @param signal Aborted when nobody waits for the answers any more. A call into the system can't be called off, so
   * the thread that is stuck in one is left behind, and another one takes its place.
   */
  async ask(questions: readonly Question[], signal: AbortSignal): Promise<Answers> {
    const replace = () => {
      const asked = this.#asked.find((each) => each.questions === questions);
      if (asked === this.#asked[0]) this.#replace(signal.reason);
    };
    signal.addEventListener("abort", replace, { once: true });
    try {
      return await new Promise<Answers>((resolve, reject) => {
        this.#asked.push({ questions, resolve, reject });
        this.#worker.postMessage(questions);
      });
    } finally {
      signal.removeEventListener("abort", replace);
    }
  }

  /** Ends it. */
  async end(): Promise<void> {
    this.#worker.removeAllListeners();
    await this.#worker.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL("./hash_thread.ts", import.meta.url), {
      workerData: { root: this.#root },
    });
    worker.on("message", (answers: Answers) => this.#asked.shift()?.resolve(answers));
    worker.on("error", (error) => this.#replace(error));
    return worker;
  }

  /** Gives up what the thread is at, and has a new one do the rest. */
  #replace(reason: unknown): void {
    this.#worker.removeAllListeners();
    void this.#worker.terminate();
    this.#asked.shift()?.reject(reason);
    this.#worker = this.#start();
    for (const { questions } of this.#asked) this.#worker.postMessage(questions);
  }
}
