import { abortable } from "../cancel/abortable.ts";
import { linkSignals } from "../cancel/link_signals.ts";
import {
  checkChoice,
  checkFunction,
  checkName,
  checkOptions,
  checkWaitOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { MisuseError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { type GroupOptions, KIND } from "../task/group_options.ts";
import { TaskGroup } from "../task/task_group.ts";
import type { Task } from "../task/task.ts";
import { SharedSnapshot } from "./_shared_snapshot.ts";
import { finishTogether, type Member } from "./_together.ts";
import { type CommitDecision, finishInTwoPhases, newGroupId, twoPhaseOf } from "./_two_phase.ts";
import { ambientOf, runIn } from "./propagation.ts";
import type { SessionSource } from "./session.ts";
import { settingsIn } from "./settings.ts";
import { openTransaction, transaction, type TransactionOptions } from "./transaction.ts";
import type { Transaction } from "./transaction_scope.ts";

/** How the transactions of a {@linkcode SessionOperationGroup} end. */
export type CommitProtocol =
  /** Each commits by itself as soon as its operation returns, and runs again after a conflict. */
  | "independent"
  /** All commit, one after the other, once all operations have returned. Not atomic: see `PartialCommitError`. */
  | "together"
  /** All are prepared, then all commit: atomic as long as somebody finishes what a crash leaves (`recoverPrepared`). */
  | "two-phase";

/** Options of a {@linkcode SessionOperationGroup}. */
export interface OperationGroupOptions extends WaitOptions {
  /** Appears in messages and records, and with two phases in what the database knows the transactions by. */
  name?: string | undefined;
  /** How the transactions end. Default `"independent"`. */
  protocol?: CommitProtocol | undefined;
  /** Whether an operation's failure ends the others. Default `"failFast"`; `"supervise"` only with `"independent"`. */
  policy?: "failFast" | "supervise" | undefined;
  /**
   * `"shared"` has all operations see the database as it was when the first of them began, to read it at the same time:
   * they only read, at the level "repeatable read". PostgreSQL only, and only with `"independent"`; one session more is
   * held for as long as the group lasts.
   */
  snapshot?: "shared" | undefined;
  /** How many operations run at once. Default `Infinity`; each holds a session of its own. */
  maxConcurrency?: number | undefined;
  /**
   * With two phases: called when all are prepared, before the first commit. What it writes down, in a place that
   * survives a crash, is what `recoverPrepared` can decide by. When it fails, everything is rolled back.
   */
  onDecision?: ((decision: CommitDecision) => unknown) | undefined;
}

/** Options of {@linkcode SessionOperationGroup.spawn}. */
export interface OperationOptions
  extends Pick<TransactionOptions, "isolation" | "readOnly" | "retry" | "server"> {
  /** Where its session comes from. Default: the group's own database. */
  on?: SessionSource | undefined;
  /** Appears in messages and reports. */
  name?: string | undefined;
}

/**
 * Operations on one or more databases, each in a transaction and on a session of its own, that end as one.
 *
 * **Order** — operations run at the same time; no session is given back before its operation has ended. **Failure** — one
 * that fails aborts the others, and all that has not been committed is rolled back. **Abort** — everything is rolled back
 * unless committing has begun. **Leaving without** {@linkcode SessionOperationGroup.commit} undoes. **Together** is not
 * atomic: when the second COMMIT fails, the first stays, and a `PartialCommitError` says so. **Two phases** are, on
 * PostgreSQL (with `max_prepared_transactions` > 0) and MariaDB; MySQL is not tested. **Sessions** — each operation of
 * these two holds its own until all have returned: on a database with one session, such as SQLite, the
 * second is refused. **One view** — with `snapshot: "shared"`, operations read side by side
 * what one transaction would see.
 *
 * @example
 * ```ts
 * import { Database, SessionOperationGroup } from "@uno/async/database";
 * import { sqliteDriver } from "@uno/async/database/sqlite";
 * import assert from "node:assert/strict";
 *
 * await using orders = new Database(sqliteDriver({ file: ":memory:" }));
 * await using stock = new Database(sqliteDriver({ file: ":memory:" }));
 * await orders.query("create table orders (id integer primary key)");
 * await stock.query("create table stock (left integer not null)");
 *
 * await SessionOperationGroup.run(orders, (group) => {
 *   group.spawn((tx) => tx.query("insert into orders values (1)"));
 *   group.spawn((tx) => tx.query("insert into stock values (4)"), { on: stock });
 * }, { protocol: "together" });
 * assert.equal((await stock.query("select * from stock")).rowCount, 1);
 * ```
 */
export class SessionOperationGroup implements AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #what: string;
  readonly #on: SessionSource;
  readonly #options: OperationGroupOptions;
  readonly #protocol: CommitProtocol;
  readonly #tasks: TaskGroup;
  readonly #members: Member[] = [];
  readonly #id: string;
  readonly #snapshot: SharedSnapshot | undefined;
  #ending: Promise<void> | undefined;

  /**
   * Creates it; nothing runs yet.
   *
   * @param on The database of operations that do not name one.
   * @throws {TypeError | RangeError} For bad options.
   */
  constructor(on: SessionSource, options: OperationGroupOptions = {}) {
    const doing = "create operation group";
    if (typeof on?.session !== "function") {
      throw new TypeError(`Cannot ${doing} as on must be a Database: received ${show(on)}`);
    }
    checkOptions(doing, options ?? null);
    checkWaitOptions(doing, options);
    checkName(doing, options.name);
    const { protocol = "independent", policy = "failFast", snapshot, onDecision, name, signal, timeoutMs } =
      options;
    checkChoice(doing, "protocol", protocol, ["independent", "together", "two-phase"]);
    checkChoice(doing, "policy", policy, ["failFast", "supervise"]);
    if (onDecision !== undefined) checkFunction(doing, "onDecision", onDecision);
    if (policy === "supervise" && protocol !== "independent") {
      throw new RangeError(
        `Cannot ${doing} as policy must be "failFast" with "${protocol}": received "supervise"`,
      );
    }
    if (snapshot !== undefined) checkChoice(doing, "snapshot", snapshot, ["shared"]);
    if (snapshot !== undefined && protocol !== "independent") {
      throw new RangeError(
        `Cannot ${doing} as snapshot must be left out with "${protocol}": received "shared"`,
      );
    }
    this.name = name;
    this.#on = on;
    this.#options = options;
    this.#protocol = protocol;
    this.#id = newGroupId(name);
    this.#what = subject("operation group", name);
    const { maxConcurrency } = options;
    this.#tasks = new TaskGroup(
      { name, policy, maxConcurrency, signal, timeoutMs, [KIND]: "operation group" } as GroupOptions,
    );
    if (snapshot !== undefined) this.#snapshot = new SharedSnapshot(on, this.#tasks.signal);
  }

  /**
   * Runs `body`, and commits when it and all operations have succeeded.
   *
   * @returns What `body` returns.
   * @throws As {@linkcode SessionOperationGroup.commit}; what `body` throws.
   */
  static async run<T>(
    on: SessionSource,
    body: (group: SessionOperationGroup) => T | PromiseLike<T>,
    options?: OperationGroupOptions,
  ): Promise<T> {
    checkFunction("run operation group", "body", body);
    await using group = new SessionOperationGroup(on, options);
    const { signal } = group;
    const value = await abortable(Promise.resolve().then(() => body(group)), signal).catch(async (error) => {
      // When an operation's failure ended the body, that failure is the story.
      if (signal.aborted) await group.#tasks.join();
      throw error;
    });
    await group.commit();
    return value;
  }

  /** Aborted when an operation has failed or the group is given up. */
  get signal(): AbortSignal {
    return this.#tasks.signal;
  }

  /**
   * Starts an operation, in a transaction of its own.
   *
   * @param fn The work; with `"independent"` it may run again after a conflict.
   * @returns A handle that can be awaited for what `fn` returns. With the other protocols that is not committed yet.
   * @throws {MisuseError} When the group is ending; inside a transaction of that database, with a `context`; when the
   * operations of other protocols than `"independent"` are more than the database can have sessions.
   */
  spawn<T>(fn: (tx: Transaction) => T | PromiseLike<T>, options: OperationOptions = {}): Task<T> {
    const doing = "run operation";
    checkFunction(doing, "fn", fn);
    checkOptions(doing, options);
    const { on = this.#on, name = fn.name || `operation ${this.#members.length + 1}`, ...rest } = options;
    if (this.#protocol !== "independent" && rest.retry) {
      throw new RangeError(
        `Cannot ${doing} as retry must be left out with "${this.#protocol}": one operation can't run again by itself`,
      );
    }
    const snapshot = this.#snapshot;
    if (snapshot !== undefined) {
      for (const option of ["on", "isolation", "readOnly", "retry"] as const) {
        if (options[option] === undefined) continue;
        throw new RangeError(
          `Cannot ${doing} as ${option} must be left out with a shared snapshot: received one`,
        );
      }
    }
    this.#refuseUnfit(`${doing} ${show(name)}`, on);
    if (snapshot !== undefined) {
      return this.#tasks.spawn(async ({ signal }) => {
        const tx = await snapshot.begin({ ...rest, signal, label: name });
        try {
          const value = await abortable(Promise.resolve().then(() => runIn(on, tx, fn)), signal);
          if (tx.state === "open") await tx.commit();
          return value;
        } catch (error) {
          throw tx.told(error);
        } finally {
          await tx.undo();
        }
      }, { name });
    }
    if (this.#protocol === "independent") {
      return this.#tasks.spawn(({ signal }) => transaction(on, fn, { ...rest, signal, label: name }), {
        name,
      });
    }
    const gid = `${this.#id}_${this.#members.length + 1}`;
    const member: Member = {
      name,
      on,
      gid,
      tx: undefined,
      returned: false,
      link: undefined,
      outcome: "rolled back",
    };
    this.#members.push(member);
    return this.#tasks.spawn(async ({ signal: own }) => {
      const begin = this.#protocol === "two-phase" ? twoPhaseOf(member) : undefined;
      // The operation's own ends with it, the transaction goes on.
      const { signal } = member.link = linkSignals(own, this.signal);
      const tx = member.tx = await openTransaction(on, { ...rest, signal, label: name }, { begin });
      try {
        const value = await abortable(Promise.resolve().then(() => runIn(on, tx, fn)), signal);
        member.returned = true;
        return value;
      } catch (error) {
        throw tx.told(error);
      }
    }, { name });
  }

  /**
   * Waits for all operations, then commits as the protocol says.
   *
   * @throws What an operation failed with; several as a `TaskGroupError`. Nothing is committed then but what committed by
   * itself.
   * @throws {MisuseError} When it is ending already; when operations that end as one would without one that was cancelled.
   * @throws {PartialCommitError} When some were committed and others not; `outcomes` says which.
   * @throws The reason of `signal`, unchanged, unless committing had begun.
   */
  commit(): Promise<void> {
    if (this.#ending !== undefined) {
      return Promise.reject(new MisuseError(`Cannot commit ${this.#what}: it is ending`));
    }
    return this.#ending = this.#commit();
  }

  async #commit(): Promise<void> {
    const { signal, onDecision } = this.#options;
    const members = this.#members;
    try {
      await this.#tasks.join();
      if (signal?.aborted) throw signal.reason;
      const cancelled = members.find(({ returned }) => !returned);
      if (cancelled !== undefined) {
        throw new MisuseError(
          `Cannot commit ${this.#what}: its operation ${show(cancelled.name)} was cancelled`,
        );
      }
      if (this.#protocol === "together") await finishTogether(members);
      else if (this.#protocol === "two-phase") await finishInTwoPhases(members, this.#id, onDecision);
    } finally {
      await this.#end();
    }
  }

  /** Ends it: what is not committed by then is rolled back, when all operations have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ending !== undefined) return void await this.#ending.catch(() => {});
    this.#ending = this.#undo();
    await this.#ending;
  }

  async #undo(): Promise<void> {
    try {
      await this.#tasks[Symbol.asyncDispose]();
    } finally {
      await this.#end();
    }
  }

  async #end(): Promise<void> {
    for (const { tx, link } of this.#members) {
      await tx?.undo();
      link?.[Symbol.dispose]();
    }
    await this.#snapshot?.close();
  }

  /** Throws where an operation can't be run, or would wait for a session that comes when the group has ended. */
  #refuseUnfit(doing: string, on: SessionSource): void {
    if (this.#ending !== undefined) throw new MisuseError(`Cannot ${doing}: ${this.#what} is ending`);
    if (typeof on?.session !== "function") {
      throw new TypeError(`Cannot ${doing} as on must be a Database: received ${show(on)}`);
    }
    const settings = settingsIn(on);
    if (settings === undefined) return;
    const where = `${doing} on ${subject("database", settings.name)}`;
    if (ambientOf(on)?.current !== undefined) {
      throw new MisuseError(
        `Cannot ${where}: a transaction of it is in effect here, and operations have their own; ` +
          `run the group outside of it, or the work in its savepoints`,
      );
    }
    if (this.#protocol === "independent") return;
    if (this.#protocol === "two-phase" && settings.driver.twoPhase === undefined) {
      throw new RangeError(
        `Cannot ${where} as protocol must not be "two-phase" with ${settings.driver.name}, which can't prepare ` +
          "transactions",
      );
    }
    const sessions = this.#members.filter((member) => member.on === on).length + 1;
    if (sessions <= settings.max) return;
    throw new MisuseError(
      `Cannot ${where} as max must be ${sessions} or more for ${sessions} operations that end as one ` +
        `("${this.#protocol}"), each with a session to the end: it is ${settings.max}`,
    );
  }
}
