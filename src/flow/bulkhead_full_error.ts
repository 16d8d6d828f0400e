import { QueueFullError } from "./queue_full_error.ts";

/** A bulkhead that is full: as many run as may, and nobody more may wait. Nothing was started. */
export class BulkheadFullError extends QueueFullError {
  static {
    this.prototype.name = "BulkheadFullError";
  }
}
