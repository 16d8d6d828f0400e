/** Who has to go when a cache is full. */

/** How many reads of an entry since its policy last looked are counted, at most, in the low bits of its mark. */
export const MOST_USES = 3;

/** An eviction policy. It knows slots, keeps no values, and keys only of what has gone. */
export interface Eviction<K> {
  /** Whether it wants to know of each read, and not only to find them counted. */
  readonly ordersByUse: boolean;
  /** Makes room for slots below `capacity`; `marks` are kept for it, and reads counted in them. */
  grow(capacity: number, marks: Uint8Array): void;
  /** A new entry. */
  added(slot: number, key: K): void;
  /** An entry was read, or written again. */
  used(slot: number): void;
  /** The slot of the entry that goes next; there is one at least. The caller takes it out. */
  victim(): number;
  /** An entry was taken out: as {@linkcode victim}, or for another reason. */
  removed(slot: number, key: K, evicted: boolean): void;
  /** All entries were taken out. */
  cleared(): void;
}
