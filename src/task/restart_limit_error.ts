/** A task that is to go on always has ended so often that it is not started again. */
export class RestartLimitError extends Error {
  static {
    this.prototype.name = "RestartLimitError";
  }
  /** How often it was started again within {@linkcode withinMs}. */
  readonly restarts: number;
  /** The window, in milliseconds. */
  readonly withinMs: number;

  /** @internal */
  constructor(task: string, restarts: number, withinMs: number) {
    const often = `${restarts} times within ${withinMs} ms`;
    super(
      `Cannot restart task ${JSON.stringify(task)}: it was restarted ${often} already, and has ended again`,
    );
    this.restarts = restarts;
    this.withinMs = withinMs;
  }
}
