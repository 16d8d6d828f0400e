import { checkFinite, checkRecord } from "../kernel/checks.ts";

/** Places that are kept for calls of some keys, whoever else comes. */
export class Reserve {
  readonly #parts: ReadonlyMap<unknown, number>;
  readonly #inUse = new Map<unknown, number>();

  constructor(parts: Readonly<Record<string, number>>, doing: string) {
    checkRecord(doing, "reserved", parts);
    const entries = Object.entries(parts);
    let sum = 0;
    for (const [key, part] of entries) {
      checkFinite(doing, `reserved.${key}`, part, 0);
      sum += part;
    }
    // A trace above 1 is what adding 0.7, 0.2 and 0.1 leaves.
    if (sum > 1 + 1e-9) {
      throw new RangeError(`Cannot ${doing} as parts in reserved must be 1 in sum at most: received ${sum}`);
    }
    this.#parts = new Map(entries);
  }

  /** Whose turn a call takes: all who have nothing reserved share one. */
  laneOf(key: unknown): unknown {
    return this.#parts.has(key) ? key : undefined;
  }

  /** Whether a call may take one of the places of which some are free. */
  mayEnter(key: unknown, inUse: number, limit: number): boolean {
    let kept = 0;
    for (const [other, part] of this.#parts) {
      if (other !== key) kept += Math.max(0, this.#kept(part, limit) - this.#of(other));
    }
    if (inUse + 1 + kept <= limit) return true;
    const part = this.#parts.get(key);
    return part !== undefined && this.#of(key) < this.#kept(part, limit);
  }

  entered(key: unknown): void {
    if (this.#parts.has(key)) this.#inUse.set(key, this.#of(key) + 1);
  }

  left(key: unknown): void {
    if (this.#parts.has(key)) this.#inUse.set(key, this.#of(key) - 1);
  }

  /** Down to whole places: what is reserved is never more than there is. */
  #kept(part: number, limit: number): number {
    return Math.floor(part * limit + 1e-9);
  }

  #of(key: unknown): number {
    return this.#inUse.get(key) ?? 0;
  }
}
