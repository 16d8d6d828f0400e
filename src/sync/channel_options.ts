/** What a channel can be given, and what it tells of itself. */

/** Options of a `Channel`. */
export interface ChannelOptions<T = unknown> {
  /**
   * How many values it holds, or how much {@linkcode weigh} makes of them. 0, the default, hands each value from a
   * sender to a receiver; `Infinity` never blocks.
   */
  capacity?: number | undefined;
  /**
   * What a value weighs, such as its bytes: a finite number, 0 or more; asked once, when it is sent. One that is heavier
   * than the capacity passes when the channel is empty. A light one does not pass by a heavy one that waits. Default:
   * 1 for each.
   */
  weigh?: ((value: T) => number) | undefined;
  /**
   * What a send does when it is full: wait (`"block"`, the default), push the oldest value out (`"sliding"`), or drop
   * the new one (`"dropping"`). The last two need a capacity of at least 1.
   */
  overflow?: "block" | "sliding" | "dropping" | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
}

/** What an operator wants to know of a `Channel`. */
export interface ChannelStatistics {
  /** How many values, or how much weight, it can hold. */
  readonly capacity: number;
  /** How many it holds. */
  readonly buffered: number;
  /** What they weigh. */
  readonly weight: number;
  /** How many senders wait. */
  readonly sending: number;
  /** How many receivers wait. */
  readonly receiving: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Values taken in so far. */
  readonly sent: number;
  /** Values handed out so far. */
  readonly received: number;
  /** Values dropped by a sliding or dropping channel. */
  readonly dropped: number;
  /** Waits given up by a signal. */
  readonly aborted: number;
  /** Waits that reached their limit. */
  readonly timedOut: number;
}
