/**
 * How much the library has open right now in this process: what a leak guard compares before and after.
 *
 * Plain counters at the two places where waiting and listening live, so that nothing has to be registered anywhere.
 */
export const census: {
  /** Waiters in all wait queues. */
  waiters: number;
  /** Subscriptions to abort signals. */
  subscriptions: number;
  /** Abort signals with a listener of ours. */
  listeners: number;
} = { waiters: 0, subscriptions: 0, listeners: 0 };
