/** Who has to go when a cache is full. */

/** An eviction policy. It knows slots, keeps no values, and keys only of what has gone. */
export interface Eviction<K> {
  /** Makes room for slots below `capacity`. */
  grow(capacity: number): void;
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
