/** A row was not of the version that it was to be changed from: somebody else has changed it, or it is gone. */
export class VersionConflictError extends Error {
  static {
    this.prototype.name = "VersionConflictError";
  }
  /** The table. */
  readonly table: string;
  /** The key of the row. */
  readonly id: unknown;
  /** The version it was to have. */
  readonly expected: number;
  /** The version it has; `undefined` when it is gone. */
  readonly found: number | undefined;

  /** Creates the error; the message stands for itself, the options are the same facts as data. */
  constructor(
    message: string,
    options: { table: string; id: unknown; expected: number; found: number | undefined },
  ) {
    super(message);
    this.table = options.table;
    this.id = options.id;
    this.expected = options.expected;
    this.found = options.found;
  }
}
