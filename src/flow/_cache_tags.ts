/** Which entries of a cache carry which tags. */

/** An index from tags to slots and back; what carries no tag costs nothing. */
export class Tags {
  readonly #slots = new Map<string, Set<number>>();
  readonly #tags = new Map<number, readonly string[]>();

  /** How many different tags there are. */
  get size(): number {
    return this.#slots.size;
  }

  /** Replaces the tags of an entry. */
  set(slot: number, tags: readonly string[]): void {
    this.remove(slot);
    if (tags.length === 0) return;
    // A tag may be named twice, by the cache and by who sets the value.
    const own = tags.length === 1 ? tags : [...new Set(tags)];
    this.#tags.set(slot, own);
    for (const tag of own) {
      const slots = this.#slots.get(tag);
      if (slots === undefined) this.#slots.set(tag, new Set([slot]));
      else slots.add(slot);
    }
  }

  remove(slot: number): void {
    if (this.#tags.size === 0) return;
    for (const tag of this.#tags.get(slot) ?? []) {
      const slots = this.#slots.get(tag)!;
      slots.delete(slot);
      if (slots.size === 0) this.#slots.delete(tag);
    }
    this.#tags.delete(slot);
  }

  /** The entries with a tag. */
  slotsOf(tag: string): readonly number[] {
    return [...this.#slots.get(tag) ?? []];
  }

  clear(): void {
    this.#slots.clear();
    this.#tags.clear();
  }
}
