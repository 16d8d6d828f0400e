/** What adapters to servers share: opening that can be given up, and knowing that a connection was lost. @module */

/** Whether a connection was lost, told once to whoever asks for it, before or afterwards. */
export class Loss {
  #lost: { readonly error?: unknown } | undefined;
  #tell: (error?: unknown) => void = () => {};

  /** Whether it was lost. */
  get happened(): boolean {
    return this.#lost !== undefined;
  }

  /** It was lost; again: does nothing. */
  readonly happen = (error?: unknown): void => {
    if (this.#lost !== undefined) return;
    this.#lost = { error };
    this.#tell(error);
  };

  /** It is not to be used any more, by our own wish: nobody is told. */
  mute(): void {
    this.#lost ??= {};
  }

  /** Has `tell` told when it is lost, or now if it was. */
  listen(tell: (error?: unknown) => void): void {
    this.#tell = tell;
    if (this.#lost !== undefined) tell(this.#lost.error);
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
