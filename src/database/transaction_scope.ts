import { checkFunction, subject } from "../kernel/checks.ts";
import { isThenable } from "../kernel/deferred.ts";
import { MisuseError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { Failure, Result, TxModes } from "./driver.ts";
import { besideStream } from "./_statement.ts";
import { type DatabaseStage, TransactionClosedError, TransactionDoomedError } from "./errors.ts";
import { type QueryResult, send, type Session } from "./session.ts";
import { Sql } from "./sql.ts";
import { type StreamOptions, streamRows } from "./stream.ts";
import { Unawaited } from "./unawaited.ts";
import { commandIn, type Sender, textOf, type Wire } from "./wire.ts";

/** A transaction, or a savepoint in one. */
export interface Transaction extends Session, AsyncDisposable {
  /** Which run of the callback this is, from 1. */
  readonly attempt: number;
  /**
   * For other work that belongs to it: aborted with the transaction's own signal or limit, when the connection is lost,
   * and when the database is closed and takes it away.
   */
  readonly signal: AbortSignal;
  /**
   * Makes it final. Of a savepoint: keeps its work, as part of what is around it.
   *
   * **Abort** — once COMMIT was sent, the signal is not heeded any more. **Failure** — it is rolled back then.
   *
   * @throws {TransactionDoomedError} When it can only be rolled back; it then is.
   * @throws {TransactionClosedError} When it has ended before.
   * @throws {MisuseError} While a savepoint or a stream in it is open; when a statement was not awaited and is still under way.
   * @throws The failure of a statement that nobody awaited: it is not committed over.
   * @throws {CommitOutcomeUnknownError} When COMMIT was sent and no answer came.
   */
  commit(): Promise<void>;
  /**
   * Takes everything back, that of savepoints inside included.
   *
   * @throws {TransactionClosedError} When it has ended before.
   */
  rollback(): Promise<void>;
  /**
   * Opens a savepoint: a part that can be taken back by itself. Leaving it without `commit()` takes it back.
   *
   * **One at a time** — until it has ended, statements go through it; another savepoint beside it, or a statement
   * through what is around it, is a `MisuseError`.
   */
  savepoint(): Promise<Transaction>;
  /**
   * Runs `fn` in a savepoint: kept when it returns, taken back when it throws.
   *
   * @returns What `fn` returns.
   */
  savepoint<T>(fn: (savepoint: Transaction) => T | PromiseLike<T>): Promise<T>;
  /**
   * Has `hook` called after the commit, when the session has been given back. Of a savepoint: if that was kept.
   * A hook that fails goes to the observer: what is committed is committed.
   */
  afterCommit(hook: () => unknown): void;
  /** Has `hook` called if the work is taken back, when the session has been given back. */
  afterRollback(hook: () => unknown): void;
}

/** Functions to be called at the end; made when there is one. */
export type Hooks = (() => unknown)[] | undefined;

/** How far a transaction or savepoint is. */
export type ScopeState = "open" | "ending" | "committed" | "rolled back" | "unknown";

/** What the levels of one transaction share: the outermost of them. */
export interface Root {
  readonly wire: Wire;
  readonly state: ScopeState;
  readonly attempt: number;
  /** The signal in its options; `signal` is made when somebody asks. */
  readonly limits: AbortSignal | undefined;
  readonly signal: AbortSignal;
  /** How it was begun. */
  readonly modes: TxModes;
  /** Who holds its session. */
  readonly owner: object | undefined;
  /** The failure with which the database ended the whole, or left it unfit to be committed. */
  doom: { readonly cause?: unknown } | undefined;
  /** The statement, in a word, that has ended it, as DDL does in MySQL. */
  endedBy: string | undefined;
  /** What the database refused in it. */
  refusals: WeakSet<object> | undefined;
  /** Statements sent by the user. */
  statements: number;
  /** Hooks that are due however it ends: of savepoints that were taken back. */
  due: Hooks;
  /** Told how it ended, at once and whatever became of it; must not throw. */
  ends: ((outcome: TransactionOutcome) => void)[] | undefined;
}

/** What became of a transaction. */
export type TransactionOutcome = "committed" | "rolled back" | "unknown";

/** What a transaction and a savepoint have in common. */
export abstract class Scope implements Transaction, Sender {
  state: ScopeState = "open";
  /** The failure after which the database takes nothing at this level but a roll-back to its beginning. */
  doom: { readonly cause?: unknown } | undefined;
  inner: Savepoint | undefined;
  /** Made when a statement does not succeed at once. */
  protected unawaited: Unawaited | undefined;
  /** Settles when it has ended, once that has begun. */
  protected ending: Promise<void> | undefined;
  protected commitHooks: Hooks;
  protected rollbackHooks: Hooks;

  get modes(): TxModes {
    return this.root.modes;
  }

  get owner(): object | undefined {
    return this.root.owner;
  }

  abstract readonly root: Root;
  abstract readonly attempt: number;
  abstract readonly signal: AbortSignal;
  protected abstract readonly kind: "transaction" | "savepoint";
  protected abstract finalise(): Promise<void>;
  protected abstract takeBack(): Promise<void>;

  query<R>(sql: string | Sql, params?: readonly unknown[], options?: WaitOptions): Promise<QueryResult<R>> {
    const { root } = this;
    try {
      if (this.inner !== undefined) throw this.besideSavepoint("query");
      root.statements++;
      const result = send(root.wire, this, { sql, params, options }, root.limits);
      const answer = isThenable(result)
        ? this.watch(result as Promise<Result>, sql instanceof Sql ? "a statement" : commandIn(sql))
        : Promise.resolve(result);
      return answer as Promise<QueryResult<R>>;
    } catch (error) {
      return this.failed(error);
    }
  }

  stream<R>(sql: string | Sql, params?: readonly unknown[], options?: StreamOptions): AsyncIterable<R> {
    return streamRows<R>({ sql, params, options }, () => {
      const { wire, limits } = this.root;
      if (this.inner !== undefined) throw this.besideSavepoint("query");
      this.root.statements++;
      return { wire, sender: this, limits, inside: true };
    });
  }

  commit(): Promise<void> {
    const { wire } = this.root;
    if (this.state !== "open") return Promise.reject(this.ended("commit"));
    if (this.inner !== undefined) return Promise.reject(this.besideSavepoint("commit"));
    if (wire.reading !== undefined) return Promise.reject(besideStream(`commit ${this.kind}`, wire));
    const unseen = this.unseen();
    // From here on nothing more of it runs: what still waits for its turn is refused then.
    this.state = "ending";
    return this.ending = unseen === undefined ? this.finalise() : this.takeBackFor(unseen.error);
  }

  async rollback(): Promise<void> {
    if (this.state !== "open") throw this.ended("roll back");
    await this.undo();
  }

  /** Takes it back unless it has ended, or waits until it has. Never throws. */
  async undo(): Promise<void> {
    if (this.state === "open") {
      this.state = "ending";
      this.inner?.sink();
      this.ending = this.takeBack();
    }
    try {
      await this.ending;
    } catch {
      // Thrown to whoever called `commit`.
    }
    this.unawaited?.tell(this.root.wire.settings.name);
  }

  /** Resolves when it has ended, if that has begun; rejects with what `commit` rejected with. */
  async settled(): Promise<void> {
    await this.ending;
  }

  savepoint(): Promise<Transaction>;
  savepoint<T>(fn: (savepoint: Transaction) => T | PromiseLike<T>): Promise<T>;
  savepoint<T>(fn?: (savepoint: Transaction) => T | PromiseLike<T>): Promise<Transaction | T> {
    const done = this.openSavepoint(fn);
    return this.state === "open" ? this.watch(done, "a savepoint") : done;
  }

  protected async openSavepoint<T>(
    fn?: (savepoint: Transaction) => T | PromiseLike<T>,
  ): Promise<Transaction | T> {
    if (fn !== undefined) checkFunction("open savepoint", "fn", fn);
    if (this.inner !== undefined) throw this.besideSavepoint("open a savepoint in");
    const { wire } = this.root;
    if (wire.reading !== undefined) throw besideStream("open a savepoint", wire);
    const inner = this.inner = new Savepoint(this);
    await inner.open();
    if (fn === undefined) return inner;
    try {
      const value = await fn(inner);
      if (inner.state === "open") await inner.commit();
      return value;
    } finally {
      await inner.undo();
    }
  }

  afterCommit(hook: () => unknown): void {
    checkFunction("add to transaction", "hook", hook);
    if (this.state !== "open") throw this.ended("add a hook to");
    (this.commitHooks ??= []).push(hook);
  }

  afterRollback(hook: () => unknown): void {
    checkFunction("add to transaction", "hook", hook);
    if (this.state !== "open") throw this.ended("add a hook to");
    (this.rollbackHooks ??= []).push(hook);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.undo();
  }

  /** Whether a statement may run now; asked when its turn has come, as much can have happened since it was sent. */
  admit(): void {
    if (this.state !== "open") throw this.ended("query");
    this.refuseUnfit("query", "body");
  }

  /** Throws when nothing but a roll-back makes sense. */
  refuseUnfit(doing: string, stage: DatabaseStage): void {
    const { limits, wire } = this.root;
    if (limits?.aborted) throw limits.reason;
    const doom = this.root.doom ?? this.doom;
    if (doom !== undefined) throw this.doomed(doing, stage, causeIn(doom), doom);
    if (wire.usable && wire.inTransaction === false) {
      // It would run, and stay, outside of any transaction.
      const { endedBy } = this.root;
      const by = endedBy === undefined
        ? "a statement in it"
        : `its ${endedBy}, with what came before stored or not`;
      throw this.doomed(doing, stage, `it was ended by ${by}`, this.root.doom = {});
    }
  }

  succeeded(sql: string): void {
    const { root } = this;
    if (root.wire.inTransaction === false) root.endedBy ??= commandIn(sql);
  }

  refused(failure: Failure, error: unknown): void {
    const { root } = this;
    if (typeof error === "object" && error !== null) (root.refusals ??= new WeakSet()).add(error);
    // SQLite ends the transaction with some failures, such as that of an INSERT OR ROLLBACK, and says so only by its state.
    const gone = failure.lost || failure.txGone || root.wire.inTransaction === false;
    if (gone) root.doom ??= { cause: error };
    else if (root.wire.driver.dialect === "postgres") this.doom ??= { cause: error };
  }

  /** Takes over the hooks of a savepoint that was kept. */
  adopt(commitHooks: Hooks, rollbackHooks: Hooks): void {
    this.commitHooks = joined(this.commitHooks, commitHooks);
    this.rollbackHooks = joined(this.rollbackHooks, rollbackHooks);
  }

  /** Watches work that is part of it: not awaited, it must not be committed over. */
  watch<T>(work: PromiseLike<T>, what: string): Promise<T> {
    return (this.unawaited ??= new Unawaited()).watch(work, what);
  }

  /** As {@linkcode watch}, for work that has failed at once. */
  failed(error: unknown): Promise<never> {
    // After the end nothing is left to be committed over it.
    if (this.state !== "open") return Promise.reject(error);
    return (this.unawaited ??= new Unawaited()).failed(error);
  }

  /** Why it must not be committed, though whoever asks for that may not know: what was sent has failed, or not ended. */
  protected unseen(): { readonly error: unknown } | undefined {
    const left = this.unawaited;
    // An abort wins over whatever came of it.
    if (left === undefined || this.root.limits?.aborted) return undefined;
    const failure = left.takeFailure();
    if (failure !== undefined || left.pending === 0) return failure;
    const were = left.pending === 1 ? "was" : "were";
    return {
      error: new MisuseError(
        `Cannot commit ${this.describe()}: ${left.pending} of its statements ${were} not awaited, ` +
          `the first being ${left.first}`,
      ),
    };
  }

  protected async takeBackFor(error: unknown): Promise<void> {
    await this.takeBack();
    throw error;
  }

  protected doomed(doing: string, stage: DatabaseStage, why: string, doom: object): TransactionDoomedError {
    return new TransactionDoomedError(`Cannot ${doing} ${this.describe()}: ${why}`, {
      dialect: this.root.wire.driver.dialect,
      stage,
      failure: "other",
      ...doom,
    });
  }

  ended(doing: string): TransactionClosedError {
    const state = this.state === "unknown" ? "committed, with unknown outcome" : this.state;
    return new TransactionClosedError(`Cannot ${doing} ${this.describe()}: it is ${state}`);
  }

  protected besideSavepoint(doing: string): MisuseError {
    return new MisuseError(
      `Cannot ${doing} ${this.describe()}: a savepoint in it is open, and has to be committed or rolled back first`,
    );
  }

  protected describe(): string {
    return `${this.kind} on ${subject("database", this.root.wire.settings.name)}`;
  }
}

function causeIn({ cause }: { readonly cause?: unknown }): string {
  return cause === undefined ? "a failure has ended it" : `a failure has ended it: ${textOf(cause)}`;
}

/** One by one: an engine takes only so many arguments, and a transaction may have thousands of savepoints. */
function joined(hooks: Hooks, more: Hooks): Hooks {
  if (hooks === undefined) return more;
  for (const hook of more ?? []) hooks.push(hook);
  return hooks;
}

/** A part of a transaction that can be taken back by itself. */
export class Savepoint extends Scope {
  readonly root: Root;
  protected override readonly kind = "savepoint";
  readonly #outer: Scope;
  readonly #name: string;

  constructor(outer: Scope) {
    super();
    this.root = outer.root;
    this.#outer = outer;
    const depth = outer instanceof Savepoint ? Number(outer.#name.slice(4)) + 1 : 1;
    // By depth: there is one at a time at each, and no statement text is new.
    this.#name = `uno_${depth}`;
  }

  get attempt(): number {
    return this.root.attempt;
  }

  get signal(): AbortSignal {
    return this.root.signal;
  }

  /** Has the database open it. */
  async open(): Promise<void> {
    try {
      if (this.#outer.state !== "open") throw this.#outer.ended("open a savepoint in");
      await this.#run(`SAVEPOINT ${this.#name}`, this);
    } catch (error) {
      this.#outer.doom ??= this.doom;
      this.#end("rolled back");
      throw error;
    }
  }

  /** What is around it was taken back, and it with that. */
  sink(): void {
    this.inner?.sink();
    this.#end("rolled back");
  }

  protected async finalise(): Promise<void> {
    try {
      await this.#run(`RELEASE SAVEPOINT ${this.#name}`, {
        admit: () => this.refuseUnfit("commit", "body"),
        refused: (failure, error) => this.refused(failure, error),
      });
    } catch (error) {
      await this.takeBack();
      throw error;
    }
    this.#end("committed");
  }

  protected async takeBack(): Promise<void> {
    const { root } = this;
    const { wire } = root;
    const sender: Sender = { admit() {}, refused: (failure, error) => this.refused(failure, error) };
    try {
      await wire.quiet();
      // When the whole is to be rolled back anyway, there is nothing to do here.
      if (root.doom !== undefined || root.limits?.aborted || wire.inTransaction === false) return;
      await this.#run(`ROLLBACK TO SAVEPOINT ${this.#name}`, sender);
      // It would stay, and a long transaction gather thousands.
      await this.#run(`RELEASE SAVEPOINT ${this.#name}`, sender);
    } catch (error) {
      // Not knowing what is left of it, the rest can't be committed.
      root.doom ??= { cause: error };
    } finally {
      this.#end("rolled back");
    }
  }

  async #run(sql: string, sender: Sender): Promise<void> {
    const { wire, limits: signal } = this.root;
    const result = wire.run({ sql, params: [], stage: "body", sender, signal });
    if (isThenable(result)) await result;
  }

  #end(state: "committed" | "rolled back"): void {
    if (this.state === "committed" || this.state === "rolled back") return;
    this.state = state;
    if (this.#outer.inner === this) this.#outer.inner = undefined;
    if (state === "committed") this.#outer.adopt(this.commitHooks, this.rollbackHooks);
    else this.root.due = joined(this.root.due, this.rollbackHooks);
  }
}
