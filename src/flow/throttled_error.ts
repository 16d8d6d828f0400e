/** A call was refused at its client, as the backend rejects too much: nothing was sent. */
export class ThrottledError extends Error {
  static {
    this.prototype.name = "ThrottledError";
  }
  /** How likely calls are refused now, from 0 to 1. */
  readonly probability: number;

  /** Creates the error; the message stands for itself, the rest is the same fact as data. */
  constructor(message: string, facts: { probability: number }) {
    super(message);
    this.probability = facts.probability;
  }
}
