/** A queue that may not grow further: the call was refused, nothing was started. */
export class QueueFullError extends Error {
  static {
    this.prototype.name = "QueueFullError";
  }
  /** How many may wait. */
  readonly maxQueue: number;
  /** How many were served when the call was refused. */
  readonly inUse: number;

  /** Creates the error; the message stands for itself, the rest are the same facts as data. */
  constructor(message: string, facts: { maxQueue: number; inUse: number }) {
    super(message);
    this.maxQueue = facts.maxQueue;
    this.inUse = facts.inUse;
  }
}
