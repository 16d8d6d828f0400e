/** Who has the one session of a `Database`, and who waits for it. */
import { checkName, checkOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deferred } from "../kernel/deferred.ts";
import { ClosedError, MisuseError } from "../kernel/errors.ts";
import type { HoldOptions } from "../kernel/types.ts";
import { WaitQueue, type WaitTotals } from "../kernel/wait_queue.ts";

/** What is known of a holder. */
interface Holder {
  readonly hold: HoldOptions | undefined;
  readonly since: number;
}

/** One at a time, first come, first served, handed over directly; can be closed. */
export class SessionSlot {
  readonly #name: string | undefined;
  readonly #queue: WaitQueue<Holder, HoldOptions | undefined>;
  #holder: Holder | undefined;
  #freed: ReturnType<typeof deferred<void>> | undefined;
  #closed = false;

  constructor(name: string | undefined) {
    this.#name = name;
    this.#queue = new WaitQueue({
      what: "lease a session of database",
      structure: "database",
      name,
      behind: () => this.#behind(),
      onLeave: () => {},
    });
  }

  get inUse(): boolean {
    return this.#holder !== undefined;
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
    return this.#holder?.hold?.label ?? "a session without a label";
  }

  /** Takes it, or waits at most `timeoutMs`; undefined when it is taken at once. */
  acquire(hold: HoldOptions | undefined, timeoutMs: number): Promise<unknown> | undefined {
    if (hold !== undefined) {
      const refused = this.#queue.refusal(hold);
      if (refused !== undefined) return refused;
      this.#check(hold);
    }
    if (this.#closed) throw this.closedError();
    if (this.#holder === undefined) {
      this.#queue.totals.granted++;
      this.#holder = { hold, since: clock().now() };
      return undefined;
    }
    return this.#queue.wait(hold, { signal: hold?.signal, timeoutMs });
  }

  release(): void {
    const next = this.#queue.head();
    this.#holder = this.#queue.size === 0 ? undefined : { hold: next, since: clock().now() };
    if (this.#holder === undefined) this.#freed?.resolve();
    else this.#queue.grant(this.#holder);
  }

  /** Refuses everybody from now on, and sends away who waits. Resolves when nobody holds it. */
  close(): Promise<void> {
    this.#closed = true;
    this.#queue.settleAll(this.closedError());
    this.#freed ??= deferred();
    if (this.#holder === undefined) this.#freed.resolve();
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
    if (this.#holder?.hold?.owner === hold.owner) {
      throw new MisuseError(`Cannot ${doing}: the same owner holds it already, and would wait for itself`);
    }
  }

  #behind(): string {
    if (this.#holder === undefined) return `${this.#queue.size} waiting`;
    const heldMs = Math.round(clock().now() - this.#holder.since);
    return `1 of 1 in use by ${JSON.stringify(this.label)} for ${heldMs} ms, ${this.#queue.size} waiting`;
  }
}
