import { MisuseError } from "../kernel/errors.ts";

/** A load waits, directly or through others, for its own result: it could never end. */
export class CycleError extends MisuseError {
  static {
    this.prototype.name = "CycleError";
  }
  /** The key that was asked for. */
  readonly key: unknown;

  /** Creates the error; the message stands for itself, the key is the same fact as data. */
  constructor(message: string, facts: { key: unknown }) {
    super(message);
    this.key = facts.key;
  }
}
