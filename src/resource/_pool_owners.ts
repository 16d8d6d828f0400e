/** Who holds and who waits: seeing at once that everybody waits for everybody. */

interface Owner {
  held: number;
  waiting: number;
}

/**
 * Counts the leases whose owners wait for another one. When those are all there are, nobody will ever give one back,
 * as each owner does one thing at a time. Each step is O(1).
 */
export class Owners {
  readonly #owners = new Map<object, Owner>();
  readonly #all: Owners | undefined;
  /** How many leases are held by owners that wait. */
  blocked = 0;

  /** `all` are those of all pools that share room. */
  constructor(all?: Owners) {
    this.#all = all;
  }

  /** Somebody got a lease. */
  hold(owner: object): void {
    this.#all?.hold(owner);
    const it = this.#get(owner);
    it.held++;
    if (it.waiting > 0) this.blocked++;
  }

  /** Somebody gave a lease back. */
  giveBack(owner: object): void {
    this.#all?.giveBack(owner);
    const it = this.#get(owner);
    it.held--;
    if (it.waiting > 0) this.blocked--;
    this.#forget(owner, it);
  }

  /** Somebody waits. */
  wait(owner: object): void {
    this.#all?.wait(owner);
    const it = this.#get(owner);
    if (it.waiting++ === 0) this.blocked += it.held;
  }

  /** Somebody waits no more. */
  leave(owner: object): void {
    this.#all?.leave(owner);
    const it = this.#get(owner);
    if (--it.waiting === 0) this.blocked -= it.held;
    this.#forget(owner, it);
  }

  /** Whether all of `leased` leases are held by owners that wait, were `owner` to wait, too. */
  isStuck(leased: number, owner?: object): boolean {
    const it = owner === undefined ? undefined : this.#owners.get(owner);
    const more = it === undefined || it.waiting > 0 ? 0 : it.held;
    return leased > 0 && this.blocked + more >= leased;
  }

  #get(owner: object): Owner {
    let it = this.#owners.get(owner);
    if (it === undefined) this.#owners.set(owner, it = { held: 0, waiting: 0 });
    return it;
  }

  #forget(owner: object, it: Owner): void {
    if (it.held === 0 && it.waiting === 0) this.#owners.delete(owner);
  }
}
