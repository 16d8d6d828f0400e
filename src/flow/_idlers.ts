import { checkInteger } from "../kernel/checks.ts";
import { type Ranked, Ranking } from "../kernel/ranking.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";

/** What those look at who wait for quiet. */
interface Watched {
  readonly kind: string;
  readonly name: string | undefined;
  readonly idle: boolean;
  readonly queue: { readonly size: number };
  behind(): string;
}

/** Somebody who waits for the line to be shorter than `below`; the most modest is served first. */
interface Modest extends Ranked {
  readonly below: number;
}

/** Those who wait for slots to be idle, or for the line to become shorter. */
export class Idlers {
  readonly #slots: Watched;
  #idle: WaitQueue<void, true> | undefined;
  #short: WaitQueue<void, Modest> | undefined;

  constructor(slots: Watched) {
    this.#slots = slots;
  }

  /** Whether anybody waits. */
  get waiting(): boolean {
    return (this.#idle !== undefined && this.#idle.size > 0) ||
      (this.#short !== undefined && this.#short.size > 0);
  }

  /** Waits until nothing runs and nobody waits. */
  waitIdle(options: WaitOptions | undefined): Promise<void> {
    const idle = this.#idle ??= this.#line(`wait for idle ${this.#slots.kind}`);
    const refused = idle.refusal(options);
    if (refused !== undefined) return refused;
    return this.#slots.idle ? Promise.resolve() : idle.wait(true, options);
  }

  /** Waits until fewer than `below` wait. */
  waitShort(below: number, options: WaitOptions | undefined): Promise<void> {
    if (this.#short === undefined) {
      this.#short = this.#line(`wait for fewer in ${this.#slots.kind}`);
      this.#short.reorder(new Ranking());
    }
    const refused = this.#short.refusal(options);
    if (refused !== undefined) return refused;
    try {
      checkInteger(`wait for fewer in ${this.#slots.kind}`, "size", below, 1);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#slots.queue.size < below) return Promise.resolve();
    return this.#short.wait({ rank: -below, weight: 1, below }, options);
  }

  /** There may be quiet now. */
  tell(): void {
    const [idle, short] = [this.#idle, this.#short];
    if (idle !== undefined) { while (idle.size > 0 && this.#slots.idle) idle.grant(); }
    if (short === undefined) return;
    for (let first = short.head(); first !== undefined; first = short.head()) {
      if (this.#slots.queue.size >= first.below) break;
      short.grant();
    }
  }

  #line<D>(what: string): WaitQueue<void, D> {
    const { kind: structure, name } = this.#slots;
    return new WaitQueue({ what, structure, name, behind: () => this.#slots.behind() });
  }
}
