/** A thread, as something that can be asked and awaited. */
import { Worker } from "node:worker_threads";

/** V8 is to collect small garbage often, instead of letting it pile up: what these threads make is all short-lived. */
const resourceLimits = { maxYoungGenerationSizeMb: 2 };

interface Asked<Q, A> {
  readonly question: Q;
  readonly resolve: (answer: A) => void;
  readonly reject: (reason: unknown) => void;
}

/** A thread that answers one question after the other, in the order in which they are asked. */
export class Thread<Q, A> implements AsyncDisposable {
  readonly #module: URL;
  readonly #data: unknown;
  /** `undefined` after a failure, until it is asked again. */
  #worker: Worker | undefined;
  #asked: Asked<Q, A>[] = [];

  /**
   * Starts it.
   *
   * @param module What it runs: a module that sends one message for each message that it gets.
   * @param data What the module gets as its `workerData`.
   */
  constructor(module: URL, data: unknown) {
    this.#module = module;
    this.#data = data;
    this.#worker = this.#start();
  }

  /** How many questions it has not answered yet. */
  get busy(): number {
    return this.#asked.length;
  }

  /**
   * Asks it.
   *
   * @throws The reason of `signal`, unchanged. A call into the system can't be called off: a thread that is stuck in one
   * is left behind, and a new one takes its place.
   */
  async ask(question: Q, signal: AbortSignal): Promise<A> {
    signal.throwIfAborted();
    let giveUp!: () => void;
    try {
      return await new Promise<A>((resolve, reject) => {
        const asked = { question, resolve, reject };
        giveUp = () => asked === this.#asked[0] ? this.#replace(signal.reason) : reject(signal.reason);
        signal.addEventListener("abort", giveUp);
        this.#asked.push(asked);
        (this.#worker ??= this.#start()).postMessage(question);
      });
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#worker?.removeAllListeners();
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(this.#module, { workerData: this.#data, resourceLimits });
    worker.on("message", (answer: A) => this.#asked.shift()?.resolve(answer));
    worker.on("error", (error) => this.#fail(error));
    return worker;
  }

  /** Gives up the question that it is at, and has a new thread answer the rest. */
  #replace(reason: unknown): void {
    this.#drop();
    this.#asked.shift()?.reject(reason);
    for (const { question } of this.#asked) (this.#worker ??= this.#start()).postMessage(question);
  }

  /** It has failed, at one of the questions: nobody knows which, as answers may have been on their way. */
  #fail(error: unknown): void {
    this.#drop();
    for (const { reject } of this.#asked.splice(0)) reject(error);
  }

  #drop(): void {
    this.#worker?.removeAllListeners();
    void this.#worker?.terminate();
    this.#worker = undefined;
  }
}
