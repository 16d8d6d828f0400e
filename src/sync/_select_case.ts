/** One choice of a `select`: made by the methods of what can be waited for, such as `channel.receiving()`. */
export class SelectCase<R> {
  /** Does it if that needs no waiting; throws when it can never be done. @internal */
  readonly attempt: () => (() => R) | undefined;
  /** Waits for it to be done; returns what gives the wait up. @internal */
  readonly join: (
    signal: AbortSignal | undefined,
    granted: (taken: () => R) => void,
    rejected: (reason: unknown) => void,
  ) => () => void;

  /** @internal */
  constructor(attempt: SelectCase<R>["attempt"], join: SelectCase<R>["join"]) {
    this.attempt = attempt;
    this.join = join;
  }
}
