import { ClosedError } from "../kernel/errors.ts";

/** The resource was closed for good: nobody can use it any more. */
export class ResourceClosedError extends ClosedError {
  static {
    this.prototype.name = "ResourceClosedError";
  }
}

/** The resource can't be opened, as closing it the last time has not come to an end; `cause` says how long it had. */
export class ResourceStuckError extends Error {
  static {
    this.prototype.name = "ResourceStuckError";
  }
}
