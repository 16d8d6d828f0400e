/** The outermost level of a transaction: holds the session from BEGIN until it has ended. */
import { shield } from "../cancel/timeout.ts";
import { isThenable } from "../kernel/deferred.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { Result, TxModes } from "./driver.ts";
import { CommitOutcomeUnknownError, ConnectionLostError } from "./errors.ts";
import type { LeasedSession } from "./session.ts";
import { type Root, Scope } from "./transaction_scope.ts";
import type { Sender, Wire } from "./wire.ts";

const NONE: readonly unknown[] = Object.freeze([]);

/** What an {@linkcode Outermost} is made with. */
export interface OutermostOptions {
  readonly attempt: number;
  readonly limits: AbortSignal | undefined;
  readonly commitTimeoutMs: number | undefined;
  /** Disposed of at the end. */
  readonly clock?: Disposable;
}

export class Outermost extends Scope implements Root {
  readonly wire: Wire;
  readonly attempt: number;
  readonly limits: AbortSignal | undefined;
  readonly root: Root = this;
  protected override readonly kind = "transaction";
  conflict: unknown;
  statements = 0;
  readonly due: (() => unknown)[] = [];
  readonly #session: LeasedSession;
  readonly #options: OutermostOptions;
  #signal: AbortSignal | undefined;

  constructor(session: LeasedSession, options: OutermostOptions) {
    super();
    this.#session = session;
    this.wire = session.wire;
    this.#options = options;
    this.attempt = options.attempt;
    this.limits = options.limits;
  }

  get signal(): AbortSignal {
    return this.#signal ??= this.limits ?? new AbortController().signal;
  }

  /** Has the database begin it. If that fails, in any way, the session has been given back. */
  async begin(modes: TxModes): Promise<void> {
    const { wire, limits: signal } = this;
    const sender: Sender = { admit() {}, refused: (failure, error) => this.refused(failure, error) };
    let begun = false;
    try {
      if (signal?.aborted) throw signal.reason;
      for (const sql of wire.driver.begin(modes)) {
        const result = wire.run({ sql, params: NONE, stage: "begin", sender, signal });
        if (isThenable(result)) await result;
        begun = true;
      }
    } catch (error) {
      // What came before the statement that failed may be a setting that waits for the next transaction.
      if (begun) wire.destroy("transaction did not begin", error);
      this.state = "ending";
      await this.takeBack();
      throw error;
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.state === "open" && this.statements > 0 && !this.limits?.aborted) {
      emit("transaction.abandoned", "transaction", this.wire.settings.name, { statements: this.statements });
    }
    await this.undo();
  }

  protected async finalise(): Promise<void> {
    try {
      const committing = this.#commit();
      if (committing !== undefined) await committing;
    } catch (error) {
      if (error instanceof CommitOutcomeUnknownError) await this.#finish("unknown");
      else await this.takeBack();
      throw error;
    }
    await this.#finish("committed");
  }

  protected async takeBack(): Promise<void> {
    const { wire } = this;
    if (wire.busy) await wire.quiet();
    // Also after a COMMIT that failed: SQLite then keeps the transaction open.
    if (wire.inTransaction !== false) await wire.rollback();
    await this.#finish("rolled back");
  }

  #commit(): Promise<void> | undefined {
    const { wire } = this;
    let sent = false;
    let over = false;
    const sender: Sender = {
      admit: () => {
        if (over) throw this.ended("commit");
        this.refuseUnfit("commit", "commit");
        sent = true;
      },
      refused: (failure, error) => this.refused(failure, error),
    };
    // Without the signal: between COMMIT and its answer there is nothing that could be taken back.
    const answer = wire.run({ sql: "COMMIT", params: NONE, stage: "commit", sender });
    if (!isThenable(answer)) return this.#confirm(answer);
    const limitMs = this.#options.commitTimeoutMs ?? wire.settings.commitTimeoutMs;
    return shield(limitMs, () => answer).then((result) => this.#confirm(result), (error) => {
      over = true;
      if (!sent || !(error instanceof ConnectionLostError || error instanceof TimeoutError)) throw error;
      wire.destroy("commit was not answered", error);
      const message =
        `Cannot commit ${this.describe()}: the answer to COMMIT was lost, it may be stored or not`;
      const { dialect } = wire.driver;
      throw new CommitOutcomeUnknownError(message, {
        dialect,
        stage: "commit",
        failure: "connection",
        cause: error,
      });
    });
  }

  /** PostgreSQL answers the COMMIT of a failed transaction with success, and says only here that it rolled back. */
  #confirm(result: Result): undefined {
    if (result.command === "ROLLBACK") {
      throw this.doomed("commit", "commit", "the database rolled it back instead", this.root.doom = {});
    }
  }

  async #finish(outcome: "committed" | "rolled back" | "unknown"): Promise<void> {
    const { name } = this.wire.settings;
    this.inner?.sink();
    this.state = outcome;
    this.#options.clock?.[Symbol.dispose]();
    const puttingInOrder = this.#session.release();
    if (puttingInOrder !== undefined) await puttingInOrder;
    if (observed()) emit(`transaction.${outcome.replace(" ", "_")}`, "transaction", name);
    const hooks = outcome === "committed"
      ? this.commitHooks
      : outcome === "rolled back"
      ? this.rollbackHooks
      : [];
    for (const hook of this.due.length === 0 ? hooks : [...this.due, ...hooks]) {
      try {
        await hook();
      } catch (error) {
        emit("hook.failed", "transaction", name, { outcome, error });
      }
    }
  }
}
