/** What can be in a {@linkcode LinkedList}, one at a time. */
export interface Linked<N> {
  prev: N | undefined;
  next: N | undefined;
}

/** Nodes in the order in which they were added, each removed at the same cost wherever it is; they hold the links. */
export class LinkedList<N extends Linked<N>> {
  #first: N | undefined;
  #last: N | undefined;
  #size = 0;

  get first(): N | undefined {
    return this.#first;
  }

  get last(): N | undefined {
    return this.#last;
  }

  get size(): number {
    return this.#size;
  }

  add(node: N): void {
    node.prev = this.#last;
    if (this.#last === undefined) this.#first = node;
    else this.#last.next = node;
    this.#last = node;
    this.#size++;
  }

  /** Takes out one that is in it. */
  remove(node: N): void {
    const { prev, next } = node;
    if (prev === undefined) this.#first = next;
    else prev.next = next;
    if (next === undefined) this.#last = prev;
    else next.prev = prev;
    // Somebody may hold it for long, and must not hold all that came later.
    node.prev = node.next = undefined;
    this.#size--;
  }
}
