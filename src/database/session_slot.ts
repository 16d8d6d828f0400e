/** Who has the one session of a `Database`, and who waits for it. */
import { checkName, checkOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deferred } from "../kernel/deferred.ts";
import { ClosedError, MisuseError } from "../kernel/errors.ts";
import type { HoldOptions } from "../kernel/types.ts";
import { WaitQueue, type WaitTotals } from "../kernel/wait_queue.ts";

/** One at a time, first come, first served, handed over directly; can be closed. */
export class SessionSlot {
  readonly #name: string | undefined;
  readonly #queue: WaitQueue<void, HoldOptions | undefined>;
  #inUse = false;
  /** What the holder said of itself, and since when it is the holder. */
  #hold: HoldOptions | undefined;
  #since = 0;
  #freed: ReturnType<typeof deferred<void>> | undefined;
  #closed = false;

  constructor(name: string | undefined) {
    this.#name = name;
    this.#queue = new WaitQueue({
      what: "lease a session of database",
      structure: "database",
      name,
      behind: () => this.#behind(),
    });
  }

  get inUse(): boolean {
    return this.#inUse;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  get totals(): WaitTotals {
    return this.#queue.totals;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Who holds it, in words. */
  get label(): string {
    return this.#hold?.label ?? "a session without a label";
  }

  /** Takes it, or waits at most `timeoutMs`; undefined when it is taken at once. */
  acquire(hold: HoldOptions | undefined, timeoutMs: number): Promise<void> | undefined {
    if (hold !== undefined) {
      const refused = this.#queue.refusal(hold);
      if (refused !== undefined) return refused;
      this.#check(hold);
    }
    if (this.#closed) throw this.closedError();
    if (!this.#inUse) {
      this.#queue.totals.granted++;
      this.#take(hold);
      return undefined;
    }
    return this.#queue.wait(hold, { signal: hold?.signal, timeoutMs });
  }

  release(): void {
    const next = this.#queue.head();
    this.#inUse = this.#queue.size > 0;
    if (this.#inUse) {
      this.#take(next);
      this.#queue.grant(undefined);
    } else {
      this.#hold = undefined;
      this.#freed?.resolve();
    }
  }

  #take(hold: HoldOptions | undefined): void {
    this.#inUse = true;
    this.#hold = hold;
    this.#since = clock().now();
  }

  /** Refuses everybody from now on, and sends away who waits. Resolves when nobody holds it. */
  close(): Promise<void> {
    this.#closed = true;
    this.#queue.settleAll(this.closedError());
    this.#freed ??= deferred();
    if (!this.#inUse) this.#freed.resolve();
    return this.#freed.promise;
  }

  closedError(): ClosedError {
    return new ClosedError(`Cannot lease a session of ${subject("database", this.#name)}: it is closed`);
  }

  #check(hold: HoldOptions): void {
    const doing = `lease a session of ${subject("database", this.#name)}`;
    checkName(doing, hold.label, "label");
    if (hold.owner === undefined) return;
    checkOptions(`${doing} as owner`, hold.owner);
    if (this.#hold?.owner === hold.owner) {
      throw new MisuseError(`Cannot ${doing}: the same owner holds it already, and would wait for itself`);
    }
  }

  #behind(): string {
    const heldMs = Math.round(clock().now() - this.#since);
    return `1 of 1 in use by ${JSON.stringify(this.label)} for ${heldMs} ms, ${this.#queue.size} waiting`;
  }
}
