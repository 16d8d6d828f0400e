/** What there is: the tree below a folder. */
import type { Places } from "./places.ts";
import { Thread } from "./thread.ts";
import type { Found, Reply, Request } from "./tree_thread.ts";

/** Everything below the root that is not itself a folder. Symbolic links are not followed. */
export class Tree implements AsyncDisposable {
  readonly #thread: Thread<Request, Reply<Request>>;

  constructor({ root, skip }: Places) {
    this.#thread = new Thread(new URL("./tree_thread.ts", import.meta.url), { root, skip });
  }

  /**
   * Walks it, once. The thread is one handful of paths ahead of what is asked for, and no further: whoever iterates is
   * the back-pressure.
   *
   * @throws The reason of `signal`, unchanged.
   */
  async *walk(signal: AbortSignal): AsyncGenerator<Found, void, void> {
    const ask = () => this.#thread.ask("paths", signal) as Promise<Reply<"paths">>;
    let next = ask();
    for (let found = await next; found !== null; found = await next) {
      next = ask();
      next.catch(() => {}); // It is awaited later, or never.
      yield found;
    }
  }

  /**
   * Counts what the walk will find, once; a good deal faster than that is worked off.
   *
   * @throws The reason of `signal`, unchanged.
   */
  async count(signal: AbortSignal): Promise<number> {
    let sum = 0;
    for (let more: number | null = 0; more !== null; sum += more ?? 0) {
      more = await this.#thread.ask("count", signal) as Reply<"count">;
    }
    return sum;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread[Symbol.asyncDispose]();
  }
}
