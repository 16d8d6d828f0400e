/** A call was sent away from a line that stood for too long: it would only have made those behind it late as well. */
export class OverloadError extends Error {
  static {
    this.prototype.name = "OverloadError";
  }
  /** How long it had waited, in milliseconds. */
  readonly waitedMs: number;
  /** How long a call may wait, in milliseconds. */
  readonly targetMs: number;

  /** Creates the error; the message stands for itself, the rest are the same facts as data. */
  constructor(message: string, facts: { waitedMs: number; targetMs: number }) {
    super(message);
    this.waitedMs = facts.waitedMs;
    this.targetMs = facts.targetMs;
  }
}
