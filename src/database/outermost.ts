/** The outermost level of a transaction: holds the session from BEGIN until it has ended. */
import { linkSignals } from "../cancel/link_signals.ts";
import { shield } from "../cancel/timeout.ts";
import { isThenable } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { ClosedError, ownAbort, TimeoutError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import { Canceller } from "../kernel/signals.ts";
import type { Driver, Failure, Result, TxModes } from "./driver.ts";
import type { CommitCheck } from "./commit_check.ts";
import {
  CommitOutcomeUnknownError,
  ConnectionLostError,
  DatabaseError,
  TransactionConflictError,
  type TransactionDoomedError,
} from "./errors.ts";
import { ambientOf } from "./propagation.ts";
import { databaseOf } from "./settings.ts";
import type { LeasedSession } from "./session.ts";
import { type Hooks, type Root, Scope } from "./transaction_scope.ts";
import { anybody, type Sender, type Wire } from "./wire.ts";

const NONE: readonly unknown[] = Object.freeze([]);

/** What an {@linkcode Outermost} is made with. */
export interface OutermostOptions {
  readonly attempt: number;
  readonly limits: AbortSignal | undefined;
  readonly commitTimeoutMs: number | undefined;
  /** Finds out what became of a COMMIT that was not answered. */
  readonly check?: CommitCheck | undefined;
  /** Who holds its session. */
  readonly owner?: object | undefined;
  /** The statements that begin it, where they are not the driver's usual ones. */
  readonly begin?: ((driver: Driver, modes: TxModes) => readonly string[]) | undefined;
  /** Disposed of at the end. */
  readonly clock?: Disposable | undefined;
}

export class Outermost extends Scope implements Root {
  readonly wire: Wire;
  readonly attempt: number;
  readonly limits: AbortSignal | undefined;
  readonly root: Root = this;
  protected override readonly kind = "transaction";
  endedBy: string | undefined;
  refusals: WeakSet<object> | undefined;
  statements = 0;
  due: Hooks;
  ends: Root["ends"];
  readonly #session: LeasedSession;
  readonly #options: OutermostOptions;
  #signal: AbortSignal | undefined;
  #link: Disposable | undefined;
  #begun = false;
  #modes: TxModes = {};

  constructor(session: LeasedSession, options: OutermostOptions) {
    super();
    this.#session = session;
    this.wire = session.wire;
    this.#options = options;
    this.attempt = options.attempt;
    this.limits = options.limits;
  }

  get signal(): AbortSignal {
    return this.#signal ??= this.#makeSignal();
  }

  /** Made when somebody asks: aborted with the limits, and when the connection is lost or taken away. */
  #makeSignal(): AbortSignal {
    const { limits, wire } = this;
    if (this.state !== "open" && this.state !== "ending") return limits ?? new AbortController().signal;
    const gone = new Canceller();
    wire.onGone = (why) => {
      const isClosed = why instanceof ClosedError;
      // A connection that is lost while it ends leaves open how it does.
      if (!isClosed && this.state !== "open") return;
      if (!isClosed) (this.refusals ??= new WeakSet()).add(why);
      const what = isClosed ? "the database was closed" : "its connection was lost";
      gone.abort(ownAbort(`Cannot go on in ${this.describe()}: ${what}`, why));
    };
    if (wire.gone !== undefined) wire.onGone(wire.gone);
    if (limits === undefined) return gone.signal;
    const both = linkSignals(limits, gone.signal);
    this.#link = both;
    return both.signal;
  }

  /** What its end is for whoever waits for it, when `error` only echoes that the connection is gone. */
  told(error: unknown): unknown {
    const { gone } = this.wire;
    return gone !== undefined && this.#signal !== undefined && isEcho(error, this.#signal) ? gone : error;
  }

  override get modes(): TxModes {
    return this.#modes;
  }

  override get owner(): object | undefined {
    return this.#options.owner;
  }

  /** Has the database begin it. If that fails, in any way, the session has been given back. */
  async begin(modes: TxModes): Promise<void> {
    const { wire, limits: signal } = this;
    this.#modes = modes;
    let sent = 0;
    try {
      if (signal?.aborted) throw signal.reason;
      const { driver } = wire;
      for (const sql of this.#options.begin?.(driver, modes) ?? driver.begin(modes)) {
        const result = wire.run({ sql, params: NONE, stage: "begin", sender: this, signal });
        if (isThenable(result)) await result;
        sent++;
      }
      this.#begun = true;
    } catch (error) {
      // What came before the statement that failed may be a setting that waits for the next transaction.
      if (sent > 0) wire.destroy("transaction did not begin", error);
      this.state = "ending";
      await this.takeBack();
      throw error;
    }
  }

  override admit(): void {
    // What begins it is sent before there is anything to be in.
    if (this.#begun) super.admit();
  }

  override succeeded(sql: string): void {
    if (this.#begun) super.succeeded(sql);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.state === "open" && this.statements > 0 && !this.limits?.aborted) {
      emit("transaction.abandoned", "transaction", this.wire.settings.name, { statements: this.statements });
    }
    await this.undo();
  }

  protected async finalise(): Promise<void> {
    const { wire } = this;
    const { check } = this.#options;
    const commit = new Commit(this);
    let token: string | undefined;
    try {
      if (check !== undefined) {
        this.refuseUnfit("commit", "commit");
        token = await check.token(wire, this.limits);
      }
      // Without the signal: between COMMIT and its answer there is nothing that could be taken back.
      const answer = wire.run({ sql: "COMMIT", params: NONE, stage: "commit", sender: commit });
      const { command } = isThenable(answer) ? await shield(this.#commitTimeoutMs, () => answer) : answer;
      if (command === "ROLLBACK") throw this.#rolledBackInstead();
    } catch (error) {
      commit.over = true;
      if (!commit.sent || !isUnanswered(error)) {
        await this.takeBack();
        throw error;
      }
      wire.destroy("commit was not answered", error);
      if (check === undefined) {
        await this.#finish("unknown");
        throw this.#unanswered(error, token);
      }
      // Given back first: finding out takes a session too.
      await this.#session.release();
      const outcome = await check.outcome(token);
      await this.#finish(outcome === "aborted" ? "rolled back" : outcome);
      if (outcome === "committed") return;
      if (outcome === "aborted") throw this.#lostBeforeCommit(error);
      throw this.#unanswered(error, token);
    }
    const finishing = this.#finish("committed");
    if (finishing !== undefined) await finishing;
  }

  /** Whether the database may have prepared it: it was asked to, and has not refused. */
  mayBePrepared = false;

  /** Has the database prepare it; a failure before the last answer rolls it back. Then only `decided` ends it. */
  async prepare(gid: string): Promise<void> {
    if (this.state !== "open") throw this.ended("prepare");
    if (this.inner !== undefined) throw this.besideSavepoint("prepare");
    const unseen = this.unseen();
    this.state = "ending";
    if (unseen !== undefined) return await (this.ending = this.takeBackFor(unseen.error));
    const { wire } = this;
    const commit = new Commit(this);
    const statements = wire.driver.twoPhase!.prepare(gid);
    try {
      for (const [i, sql] of statements.entries()) {
        this.mayBePrepared = i === statements.length - 1;
        const { command } = await this.#shielded(sql, i === 0 ? commit : anybody);
        if (command === "ROLLBACK") throw this.#rolledBackInstead();
      }
    } catch (error) {
      commit.over = true;
      const isLost = commit.sent && isUnanswered(error);
      this.mayBePrepared &&= isLost;
      if (isLost) wire.destroy("prepare was not answered", error);
      if (!this.mayBePrepared) await (this.ending = this.takeBack());
      throw error;
    }
  }

  /** Sends what ends it when it is prepared, past the signal. A line that does not answer in time is given up. */
  async send(sql: string, limitMs: number): Promise<void> {
    try {
      await this.#shielded(sql, anybody, limitMs);
    } catch (error) {
      if (isUnanswered(error)) this.wire.destroy("commit was not answered", error);
      throw error;
    }
  }

  /** Gives the session back already. */
  async giveBack(): Promise<void> {
    await this.#session.release();
  }

  /** What became of it after it was prepared. */
  async decided(outcome: "committed" | "rolled back" | "unknown"): Promise<void> {
    await (this.ending = Promise.resolve(this.#finish(outcome)));
  }

  async #shielded(sql: string, sender: Sender, limitMs: number = this.#commitTimeoutMs): Promise<Result> {
    const { wire } = this;
    const answer = wire.run({ sql, params: NONE, stage: "commit", sender });
    return isThenable(answer) ? await shield(limitMs, () => answer) : answer;
  }

  get #commitTimeoutMs(): number {
    return this.#options.commitTimeoutMs ?? this.wire.settings.commitTimeoutMs;
  }

  protected async takeBack(): Promise<void> {
    const { wire } = this;
    if (wire.busy) await wire.quiet();
    // Also after a COMMIT that failed: SQLite then keeps the transaction open.
    if (wire.inTransaction !== false) await wire.rollback();
    await this.#finish(this.endedBy === undefined ? "rolled back" : "unknown");
  }

  /** Gives the session back and calls the hooks; without a promise when that is done at once. */
  #finish(outcome: "committed" | "rolled back" | "unknown"): Promise<void> | undefined {
    this.state = outcome;
    this.#link?.[Symbol.dispose]();
    // Before anybody else can have the session, or hear of it.
    for (const end of this.ends ?? []) end(outcome);
    this.#options.clock?.[Symbol.dispose]();
    const puttingInOrder = this.#session.release();
    if (observed()) {
      emit(`transaction.${outcome.replace(" ", "_")}`, "transaction", this.wire.settings.name);
    }
    const hooks = outcome === "committed" ? this.commitHooks : this.rollbackHooks;
    if (puttingInOrder === undefined && hooks === undefined && this.due === undefined) return undefined;
    return this.#callHooks(outcome, hooks, puttingInOrder);
  }

  async #callHooks(outcome: string, hooks: Hooks, puttingInOrder: Promise<void> | undefined): Promise<void> {
    await puttingInOrder;
    // What became of it is not known, so neither kind is due.
    if (outcome === "unknown") return;
    const ambient = ambientOf(databaseOf(this.wire.settings) ?? this);
    for (const hook of [...this.due ?? [], ...hooks ?? []]) {
      try {
        // Not in the transaction that has ended, if it ended where it was in effect.
        await (ambient === undefined ? hook() : ambient.run(ambient.holding, hook));
      } catch (error) {
        emit("hook.failed", "transaction", this.wire.settings.name, { outcome, error });
      }
    }
  }

  /** PostgreSQL answers the COMMIT of a failed transaction with success, and says only so that it rolled back. */
  #rolledBackInstead(): TransactionDoomedError {
    return this.doomed("commit", "commit", "the database rolled it back instead", this.root.doom = {});
  }

  /** It is known to be rolled back: as good as any conflict. */
  #lostBeforeCommit(cause: unknown): TransactionConflictError {
    const { dialect } = this.wire.driver;
    const error = new TransactionConflictError(
      `Cannot commit ${this.describe()}: the connection was lost, and the database has rolled it back`,
      { dialect, stage: "commit", failure: "conflict", cause },
    );
    (this.refusals ??= new WeakSet()).add(error);
    return error;
  }

  #unanswered(cause: unknown, token: string | undefined): CommitOutcomeUnknownError {
    const { dialect } = this.wire.driver;
    return new CommitOutcomeUnknownError(
      `Cannot commit ${this.describe()}: the answer to COMMIT was lost, it may be stored or not`,
      { dialect, stage: "commit", failure: "connection", cause, token },
    );
  }
}

/** Whether it leaves open what became of the COMMIT. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof ConnectionLostError || error instanceof TimeoutError ||
    (error instanceof DatabaseError && error.failure === "ambiguous");
}

/** Sends the COMMIT; apart from the transaction, whose own statements are refused by then. */
class Commit implements Sender {
  readonly #of: Outermost;
  sent = false;
  over = false;

  constructor(of: Outermost) {
    this.#of = of;
  }

  admit(): void {
    if (this.over) throw this.#of.ended("commit");
    this.#of.refuseUnfit("commit", "commit");
    // On a line that is known to be lost nothing is sent.
    this.sent = this.#of.wire.usable;
  }

  refused(failure: Failure, error: unknown): void {
    this.#of.refused(failure, error);
  }
}
