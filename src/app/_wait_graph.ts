/** Which names wait for which others, so that thousands of them cost no more than the waits there are. */
export class WaitGraph {
  /** What each of those that wait still waits for. */
  readonly #waitsFor = new Map<string, Set<string>>();
  /** Who waits for each name, those added first before the others. */
  readonly #waiters = new Map<string, Set<string>>();

  /** How many wait. */
  get size(): number {
    return this.#waitsFor.size;
  }

  /** What is waited for. */
  get awaited(): readonly string[] {
    return [...this.#waiters.keys()];
  }

  /** Who waits for `name` itself. */
  waitersOf(name: string): readonly string[] {
    return [...this.#waiters.get(name) ?? []];
  }

  /** Has `name` wait for all of `others`. */
  add(name: string, others: Iterable<string>): void {
    const waitsFor = new Set(others);
    this.#waitsFor.set(name, waitsFor);
    for (const other of waitsFor) {
      const waiters = this.#waiters.get(other);
      if (waiters === undefined) this.#waiters.set(other, new Set([name]));
      else waiters.add(name);
    }
  }

  /** `name` waits for nothing any more; others may still wait for it. */
  remove(name: string): void {
    for (const other of this.#waitsFor.get(name) ?? []) {
      const waiters = this.#waiters.get(other)!;
      if (waiters.delete(name) && waiters.size === 0) this.#waiters.delete(other);
    }
    this.#waitsFor.delete(name);
  }

  /** `name` need not be waited for any more. @returns Who waits for nothing else, and is taken out by that. */
  arrived(name: string): string[] {
    const free: string[] = [];
    for (const waiter of this.#waiters.get(name) ?? []) {
      const waitsFor = this.#waitsFor.get(waiter)!;
      waitsFor.delete(name);
      if (waitsFor.size > 0) continue;
      this.#waitsFor.delete(waiter);
      free.push(waiter);
    }
    this.#waiters.delete(name);
    return free;
  }

  /** Who waits for `name`, or for somebody who does, and so on. */
  behind(name: string): string[] {
    const found = new Set<string>();
    const todo = [name];
    for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
      for (const waiter of this.#waiters.get(at) ?? []) {
        if (!found.has(waiter)) todo.push(waiter);
        found.add(waiter);
      }
    }
    return [...found];
  }

  /** The way from `name` over `others`, if it were to wait for them, back to itself. */
  circle(name: string, others: readonly string[]): string[] | undefined {
    // For whom nobody waits closes no circle but with itself: what is registered in order costs no search.
    if (!this.#waiters.has(name) && !others.includes(name)) return undefined;
    const reachedFrom = new Map<string, string>();
    const todo = [name];
    for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
      for (const next of at === name ? others : this.#waitsFor.get(at) ?? []) {
        if (next === name) return circleOf(name, at, reachedFrom);
        if (reachedFrom.has(next)) continue;
        reachedFrom.set(next, at);
        todo.push(next);
      }
    }
    return undefined;
  }
}

function circleOf(name: string, last: string, reachedFrom: ReadonlyMap<string, string>): string[] {
  const back = [name];
  for (let at = last; at !== name; at = reachedFrom.get(at)!) back.push(at);
  back.push(name);
  return back.reverse();
}
