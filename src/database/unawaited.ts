/** What nobody has awaited of a transaction's statements: such must not be committed over, unseen. */
import { ignore } from "../kernel/deferred.ts";
import { emit } from "../kernel/observer.ts";

/** A promise that knows whether anybody has asked for its outcome: by `await`, `then` or what is built on it. */
class Watched<T> extends Promise<T> {
  /** What `then` gives is not watched. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  seen = false;
  onSeen: (() => void) | undefined;

  constructor(executor: (resolve: (value: T) => void, reject: (error: unknown) => void) => void) {
    super(executor);
    // Its failure is told by the transaction, if by nobody else; it must not end the process before.
    super.then(undefined, ignore);
  }

  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.seen = true;
    this.onSeen?.();
    return super.then(fulfilled, rejected);
  }
}

/** The work of one transaction or savepoint that is under way, or has failed without anybody having seen it. */
export class Unawaited {
  /** What is under way, each with how to call it. */
  readonly #pending = new Map<Promise<unknown>, string>();
  readonly #failures = new Map<Promise<unknown>, unknown>();

  /** How many are under way. */
  get pending(): number {
    return this.#pending.size;
  }

  /** What the one that was sent first is called. */
  get first(): string | undefined {
    return this.#pending.values().next().value;
  }

  /** The first failure that nobody has seen; it counts as told then. */
  takeFailure(): { readonly error: unknown } | undefined {
    for (const [watched, error] of this.#failures) {
      this.#failures.delete(watched);
      return { error };
    }
    return undefined;
  }

  /** Watches work that is under way. */
  watch<T>(work: PromiseLike<T>, tag: string): Promise<T> {
    const watched = new Watched<T>((resolve, reject) => {
      work.then((value) => {
        this.#pending.delete(watched);
        resolve(value);
      }, (error) => {
        this.#pending.delete(watched);
        this.#note(watched, error);
        reject(error);
      });
    });
    this.#pending.set(watched, tag);
    return watched;
  }

  /** A promise for work that has failed at once. */
  failed(error: unknown): Promise<never> {
    const watched = new Watched<never>((_, reject) => reject(error));
    this.#note(watched, error);
    return watched;
  }

  /** Gives the observer the failures that nobody will see any more. */
  tell(name: string | undefined): void {
    for (const error of this.#failures.values()) emit("late.failure", "transaction", name, { error });
    this.#failures.clear();
  }

  #note(watched: Watched<unknown>, error: unknown): void {
    if (watched.seen) return;
    this.#failures.set(watched, error);
    watched.onSeen = () => this.#failures.delete(watched);
  }
}
