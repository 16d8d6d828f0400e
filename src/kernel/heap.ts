/** A binary heap whose items know their place, so that any of them can be taken out in O(log n). */

/** What an item of a {@linkcode Heap} carries; -1 when it is in none. */
export interface HeapItem {
  /** Its place in the heap, kept by the heap. */
  heapIndex: number;
}

/** Smallest first by `before`; equal items need a tie-break in `before`, as a heap keeps no order of arrival. */
export class Heap<T extends HeapItem> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The smallest item, left in place. */
  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    this.#items.push(item);
    this.#up(item, this.#items.length - 1);
  }

  /** Takes the smallest item out. */
  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Takes an item out from wherever it is. @returns Whether it was in. */
  remove(item: T): boolean {
    const items = this.#items;
    const index = item.heapIndex;
    if (index < 0 || items[index] !== item) return false;
    item.heapIndex = -1;
    const last = items.pop()!;
    if (last !== item) {
      if (index > 0 && this.#before(last, items[(index - 1) >> 1]!)) this.#up(last, index);
      else this.#down(last, index);
    }
    return true;
  }

  /** All items in no order, for counting and looking. */
  values(): readonly T[] {
    return this.#items;
  }

  #up(item: T, index: number): void {
    const items = this.#items;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = items[above]!;
      if (!this.#before(item, parent)) break;
      items[index] = parent;
      parent.heapIndex = index;
      index = above;
    }
    items[index] = item;
    item.heapIndex = index;
  }

  #down(item: T, index: number): void {
    const items = this.#items;
    const size = items.length;
    for (;;) {
      let below = 2 * index + 1;
      if (below >= size) break;
      if (below + 1 < size && this.#before(items[below + 1]!, items[below]!)) below++;
      const child = items[below]!;
      if (!this.#before(child, item)) break;
      items[index] = child;
      child.heapIndex = index;
      index = below;
    }
    items[index] = item;
    item.heapIndex = index;
  }
}
