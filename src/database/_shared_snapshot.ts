/** One view of a database for several transactions, which read it at the same time. */
import { abortable } from "../cancel/abortable.ts";
import type { Outermost } from "./outermost.ts";
import type { SessionSource } from "./session.ts";
import { openTransaction, type TransactionOptions } from "./transaction.ts";

const MODES = { isolation: "repeatable read", readOnly: true } as const;

/** A snapshot that transactions begin with; taken by one that stays open for as long as others may want it. */
export class SharedSnapshot {
  readonly #on: SessionSource;
  readonly #signal: AbortSignal;
  #holder: Outermost | undefined;
  #id: Promise<string> | undefined;

  /** @param signal Ends the transaction that holds it. */
  constructor(on: SessionSource, signal: AbortSignal) {
    this.#on = on;
    this.#signal = signal;
  }

  /** Begins a transaction that sees what all others of this see. */
  async begin(options: TransactionOptions & { readonly signal: AbortSignal }): Promise<Outermost> {
    const id = await abortable(this.#id ??= this.#take(), options.signal);
    return await openTransaction(this.#on, { ...options, ...MODES }, {
      begin: (driver, modes) => {
        // It has to come before any query, and limits are set by one.
        const [first, ...rest] = driver.begin(modes);
        return [first!, driver.snapshot!.use(id), ...rest];
      },
    });
  }

  async #take(): Promise<string> {
    const options = { ...MODES, signal: this.#signal, label: "shared snapshot" };
    const tx = this.#holder = await openTransaction(this.#on, options, {
      begin: (driver, modes) => {
        if (driver.snapshot !== undefined) return driver.begin(modes);
        throw new RangeError(`Cannot begin transaction as snapshot must not be "shared" with ${driver.name}`);
      },
    });
    const { driver, settings } = tx.wire;
    if (settings.max < 2) {
      throw new RangeError(
        `Cannot share a snapshot as max of the database must be 2 or more, one of which holds it: received ${settings.max}`,
      );
    }
    const { rows } = await tx.query<{ snapshot: string }>(driver.snapshot!.take);
    return rows[0]!.snapshot;
  }

  /** Gives it up. Never throws. */
  async close(): Promise<void> {
    await this.#id?.catch(() => {});
    await this.#holder?.undo();
  }
}
