/** A batch function returned a `Map` with no result for an item: that item fails, the others do not. */
export class BatchMissingError extends Error {
  static {
    this.prototype.name = "BatchMissingError";
  }
  /** The key that was looked for: what `dedupe` makes of the item, or the item itself. */
  readonly key: unknown;

  /** Creates the error; the message stands for itself, the rest are the same facts as data. */
  constructor(message: string, facts: { key: unknown }) {
    super(message);
    this.key = facts.key;
  }
}
