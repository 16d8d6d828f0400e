/** What adapters to servers share: opening that can be given up, and knowing that a connection was lost. @module */

/** Whether a connection was lost, told once to whoever asks for it, before or afterwards. */
export class Loss {
  #lost: { readonly error?: unknown } | undefined;
  #tell: (error?: unknown) => void = () => {};
  #giveUp: (error: unknown) => void = () => {};
  readonly #closedError: () => unknown;

  /** @param closedError What those who wait are told when nobody says why. */
  constructor(closedError: () => unknown = () => new Error("Cannot query: the connection was closed")) {
    this.#closedError = closedError;
  }

  /** Whether it was lost. */
  get happened(): boolean {
    return this.#lost !== undefined;
  }

  /** It was lost; again: does nothing. */
  readonly happen = (error?: unknown): void => {
    if (this.#lost !== undefined) return;
    this.#lost = { error };
    this.#giveUp(error ?? this.#closedError());
    this.#tell(error);
  };

  /** It is not to be used any more, by our own wish: nobody is told, but who still waits. */
  mute(): void {
    this.#lost ??= {};
    this.#giveUp(this.#closedError());
  }

  /** Has `tell` told when it is lost, or now if it was. */
  listen(tell: (error?: unknown) => void): void {
    this.#tell = tell;
    if (this.#lost !== undefined) tell(this.#lost.error);
  }

  /** The answer, or a failure when the connection is gone: some packages then say nothing any more. One at a time. */
  unlessGone<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.whoWaits(reject);
      answer.then(resolve, reject);
    });
  }

  /** Has `giveUp` told when the connection is gone: lost, or not to be used any more. */
  whoWaits(giveUp: (error: unknown) => void): void {
    this.#giveUp = giveUp;
  }
}

/** Opens a connection. When that fails or is aborted, what there is of it by then is destroyed. */
export async function openOrDestroy<C>(
  connection: C,
  signal: AbortSignal,
  open: () => Promise<unknown>,
  destroy: () => unknown,
): Promise<C> {
  signal.addEventListener("abort", destroy, { once: true });
  try {
    await open();
    if (signal.aborted) throw signal.reason;
    return connection;
  } catch (error) {
    destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", destroy);
  }
}

/**
 * Waits for a connection that the package only hands out when it is open: on abort `abandon` ends what there is of it, and
 * one that comes all the same is destroyed.
 */
export function openOrLetGo<C>(
  opening: Promise<C>,
  signal: AbortSignal,
  abandon: () => unknown,
  destroy: (connection: C) => unknown,
): Promise<C> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => {
      reject(signal.reason);
      abandon();
    };
    signal.addEventListener("abort", giveUp, { once: true });
    opening.then((connection) => {
      if (signal.aborted) destroy(connection);
      else resolve(connection);
    }, reject).finally(() => signal.removeEventListener("abort", giveUp));
  });
}
