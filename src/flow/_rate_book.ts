/**
 * What was taken since the first thing that may still be given back: to give it back is to count again without it.
 * Just to subtract it would be wrong when the bucket was full in between, and let more through than the rule allows.
 *
 * What something taken does to the mark is to make `max(mark + add, floor)` of it, and so does any number of them in a
 * row: a tree of such pairs counts again in as many steps as it has levels.
 */

/** Something that was taken. */
export interface Entry {
  readonly at: number;
  /** Whether it may still be given back. */
  open: boolean;
  /** Its leaf, as long as it is open. */
  slot: number;
}

/** See the file. */
export class RateBook {
  /** The mark before the first entry. */
  #base: number;
  #open = 0;
  /** By slot; those before `#first` are in the base. */
  #entries: (Entry | undefined)[] = [];
  #first = 0;
  #size = 1;
  // Nodes from 1, the root, as in a binary heap: `#size` inner ones and leaves.
  #add = [0, 0];
  #floor = [-Infinity, -Infinity];

  constructor(base: number) {
    this.#base = base;
  }

  /** How many entries may still be given back. */
  get open(): number {
    return this.#open;
  }

  /** The mark after all that was taken and not given back. */
  get mark(): number {
    return Math.max(this.#base + this.#add[1]!, this.#floor[1]!);
  }

  /** So much is taken. */
  push(amount: number, at: number, open: boolean): Entry {
    if (this.#entries.length === this.#size) this.#rebuild();
    const entry: Entry = { at, open, slot: this.#entries.length };
    this.#entries.push(entry);
    if (open) this.#open++;
    this.#set(entry.slot, amount, at + amount);
    return entry;
  }

  /** It stays taken. */
  keep(entry: Entry): void {
    entry.open = false;
    this.#open--;
  }

  /** As if it had never been taken. */
  cancel(entry: Entry): void {
    this.keep(entry);
    this.#set(entry.slot, 0, -Infinity);
  }

  /** What was taken until then stays taken. */
  settle(until: number): void {
    for (; this.#first < this.#entries.length; this.#first++) {
      const entry = this.#entries[this.#first]!;
      if (entry.open) {
        if (entry.at > until) return;
        this.keep(entry);
      }
      const leaf = this.#size + this.#first;
      this.#base = Math.max(this.#base + this.#add[leaf]!, this.#floor[leaf]!);
      this.#set(this.#first, 0, -Infinity);
      this.#entries[this.#first] = undefined;
    }
  }

  #set(slot: number, add: number, floor: number): void {
    let node = this.#size + slot;
    this.#add[node] = add;
    this.#floor[node] = floor;
    while ((node >>= 1) > 0) this.#sum(node);
  }

  #sum(node: number): void {
    const [left, right] = [node * 2, node * 2 + 1];
    const add = this.#add[right]!;
    this.#add[node] = this.#add[left]! + add;
    this.#floor[node] = Math.max(this.#floor[left]! + add, this.#floor[right]!);
  }

  /** Makes room: those that can't be given back any more are one entry with their like before them. */
  #rebuild(): void {
    const entries: Entry[] = [];
    const adds: number[] = [];
    const floors: number[] = [];
    for (let slot = this.#first; slot < this.#entries.length; slot++) {
      const entry = this.#entries[slot]!;
      const add = this.#add[this.#size + slot]!;
      const floor = this.#floor[this.#size + slot]!;
      const last = entries.length - 1;
      if (!entry.open && entries[last]?.open === false) {
        adds[last]! += add;
        floors[last] = Math.max(floors[last]! + add, floor);
      } else {
        entry.slot = entries.length;
        entries.push(entry);
        adds.push(add);
        floors.push(floor);
      }
    }
    this.#entries = entries;
    this.#first = 0;
    this.#size = 1;
    while (this.#size < entries.length * 2) this.#size *= 2;
    const rest = this.#size - entries.length;
    this.#add = [...new Array<number>(this.#size).fill(0), ...adds, ...new Array<number>(rest).fill(0)];
    const none = (count: number) => new Array<number>(count).fill(-Infinity);
    this.#floor = [...none(this.#size), ...floors, ...none(rest)];
    for (let node = this.#size - 1; node > 0; node--) this.#sum(node);
  }
}
