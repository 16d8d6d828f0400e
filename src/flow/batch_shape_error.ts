/** What a batch function returned can't be handed out: it is not one result for each item. */
export class BatchShapeError extends Error {
  static {
    this.prototype.name = "BatchShapeError";
  }
  /** How many results there should have been. */
  readonly expected: number;
  /** How many there were; `undefined` when it was no array. */
  readonly actual: number | undefined;

  /** Creates the error; the message stands for itself, the rest are the same facts as data. */
  constructor(message: string, facts: { expected: number; actual: number | undefined }) {
    super(message);
    this.expected = facts.expected;
    this.actual = facts.actual;
  }
}
