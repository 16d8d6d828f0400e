/** What calls of limiters and bulkheads ask for. */
import type { Ranked } from "../kernel/ranking.ts";
import type { Waiting } from "../kernel/wait_queue.ts";

/** What somebody waits for, and then has: slots, with a lease on them or without. */
export class Request implements Ranked {
  readonly lease: boolean;
  /** How many slots. */
  readonly weight: number;
  /** Who takes turns with whom. */
  readonly key: unknown;
  /** Who will hold them, in words, for the observer. */
  readonly label: string | undefined;
  priority: number;
  rank = 0;
  /** When it began to wait; known only where that counts. */
  sinceMs = 0;
  /** Its place in the line, once it waits. */
  waiting: Waiting<Request> | undefined;
  /** Who may move it. */
  owner: object | undefined;
  /** Whether it waits on behalf of many: not refused and not sent away for being one too many. */
  guest = false;

  constructor(lease: boolean, weight = 1, priority = 0, key?: unknown, label?: string) {
    this.lease = lease;
    this.weight = weight;
    this.priority = priority;
    this.key = key;
    this.label = label;
  }
}

/** A slot for a piece of work, which gives it back by {@linkcode Slots.leave}. */
export const PLAIN: Request = new Request(false);
/** A slot with a lease. */
export const LEASED: Request = new Request(true);
