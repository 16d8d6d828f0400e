/**
 * A scripted database for fault injection: rows in an array, transactions, savepoints, latency in virtual time, and a
 * fault for whichever statement a test picks.
 */
import { sleep } from "@uno/async/cancel";
import type { Connection, Dialect, Driver, Failure, Result, TxModes } from "@uno/async/database";

/** What happens to a statement instead of its success. */
export type Fault =
  /** It is refused; the transaction stays. */
  | "fail"
  /** It meets a conflict; the transaction stays. */
  | "conflict"
  /** It meets a conflict that ends the transaction, as a deadlock does in MySQL. */
  | "deadlock"
  /** The connection is lost before it is carried out. */
  | "lost"
  /** It is carried out, and the connection is lost before the answer. */
  | "lost answer"
  /** A COMMIT is answered with ROLLBACK. */
  | "rolled back"
  /** It never answers, until it is cancelled. */
  | "hang"
  /** It never answers, and does not heed cancelling. */
  | "deaf";

class FakeError extends Error {
  readonly failure: Failure;

  constructor(message: string, failure: Partial<Failure>) {
    super(message);
    this.failure = { kind: "other", lost: false, txGone: false, ...failure };
  }
}

const errors = {
  fail: () => new FakeError("no such table", { kind: "statement", state: "42P01" }),
  conflict: () => new FakeError("database is locked", { kind: "conflict", state: "5" }),
  deadlock: () => new FakeError("deadlock found", { kind: "conflict", state: "40001", txGone: true }),
  lost: () => new FakeError("connection reset", { kind: "connection", lost: true, txGone: true }),
  cancelled: () => new FakeError("interrupted", { kind: "interrupted" }),
};

/** A statement about to be carried out. */
export interface Statement {
  readonly sql: string;
  readonly params: readonly unknown[];
  /** How many statements the server had before this one. */
  readonly nth: number;
}

export interface FakeOptions {
  dialect?: Dialect;
  /** How long each statement takes. */
  latencyMs?: number;
  /** Whether the driver can tell if a transaction is open. */
  tellsState?: boolean;
  /** Picks the fault of a statement. */
  fault?: (statement: Statement) => Fault | undefined;
  /** Picks whether an attempt to connect, the first being 1, fails. */
  refuse?: (attempt: number) => Partial<Failure> | undefined;
}

/** The database, and what it saw. */
export class FakeServer {
  /** What is committed. */
  rows: unknown[] = [];
  /** What was committed outside of a transaction. */
  readonly autocommitted: unknown[] = [];
  /** All statements in order. */
  readonly log: string[] = [];
  /** What must not happen: two statements at once, a statement on a closed connection. */
  readonly violations: string[] = [];
  readonly connections = new Set<FakeConnection>();
  connects = 0;
  readonly options: FakeOptions;

  constructor(options: FakeOptions = {}) {
    this.options = options;
  }

  /** Transactions that are open. */
  get transactions(): number {
    return [...this.connections].filter((connection) => connection.work !== undefined).length;
  }

  readonly driver: Driver = {
    name: "fake",
    dialect: "sqlite",
    maxSessions: 1,
    connect: async ({ signal }) => {
      this.connects++;
      await sleep(1, { signal });
      const refused = this.options.refuse?.(this.connects);
      if (refused !== undefined) throw new FakeError("connection refused", refused);
      const connection = new FakeConnection(this);
      this.connections.add(connection);
      return connection;
    },
    classify: (error) => {
      if (error instanceof FakeError) return error.failure;
      return { kind: error instanceof TypeError ? "usage" : "other", lost: false, txGone: false };
    },
    begin: ({ isolation, readOnly }: TxModes) => {
      if (isolation !== undefined && isolation !== "serializable") {
        throw new RangeError(`Cannot begin as isolation must be "serializable": received ${isolation}`);
      }
      return readOnly ? ["SET READ ONLY", "BEGIN"] : ["BEGIN"];
    },
  };
}

/** The driver of a server, with its dialect. */
export function fakeDriver(server: FakeServer): Driver {
  return { ...server.driver, dialect: server.options.dialect ?? "sqlite" };
}

class FakeConnection implements Connection {
  readonly raw: unknown = undefined;
  /** The rows of the open transaction, and its savepoints by name with how many rows there were. */
  work: { rows: unknown[]; savepoints: [string, number][]; failed: boolean } | undefined;
  readonly inTransaction?: () => boolean;
  readonly #server: FakeServer;
  #running: { interrupt: (error: Error) => void; deaf: boolean } | undefined;
  #closed = false;
  #onLost: (error?: unknown) => void = () => {};

  constructor(server: FakeServer) {
    this.#server = server;
    if (server.options.tellsState ?? true) this.inTransaction = () => this.work !== undefined;
  }

  get savepoints(): number {
    return this.work?.savepoints.length ?? 0;
  }

  onLost(lost: (error?: unknown) => void): void {
    this.#onLost = lost;
  }

  /** Breaks it between statements. */
  lose(): void {
    const error = errors.lost();
    this.#end();
    this.#running?.interrupt(error);
    this.#onLost(error);
  }

  async query(sql: string, params: readonly unknown[]): Promise<Result> {
    const server = this.#server;
    if (this.#running !== undefined) server.violations.push(`${sql}: another statement is running`);
    if (this.#closed) {
      server.violations.push(`${sql}: the connection is closed`);
      throw errors.lost();
    }
    const nth = server.log.push(sql) - 1;
    const fault = server.options.fault?.({ sql, params, nth });
    const controller = new AbortController();
    const interrupt = (error: Error): void => controller.abort(error);
    this.#running = { interrupt, deaf: fault === "deaf" };
    try {
      const takesMs = fault === "hang" || fault === "deaf" ? Infinity : server.options.latencyMs ?? 1;
      await sleep(takesMs, { signal: controller.signal });
      if (fault === "lost") this.lose();
      if (fault === "lost") throw errors.lost();
      if (fault === "deadlock") this.work = undefined;
      if (fault === "fail" || fault === "conflict" || fault === "deadlock") {
        if (this.work) this.work.failed = true;
        throw errors[fault]();
      }
      const result = this.#execute(fault === "rolled back" ? "ROLLBACK" : sql, params);
      if (fault !== "lost answer") return result;
      this.lose();
      throw errors.lost();
    } finally {
      this.#running = undefined;
    }
  }

  async cancel(): Promise<void> {
    await sleep(1);
    if (this.#running?.deaf === false) this.#running.interrupt(errors.cancelled());
    await sleep(1);
  }

  close(): Promise<void> {
    this.#end();
    this.#running?.interrupt(errors.lost());
    return Promise.resolve();
  }

  #end(): void {
    this.#closed = true;
    this.work = undefined;
    this.#server.connections.delete(this);
  }

  #execute(sql: string, params: readonly unknown[]): Result {
    const server = this.#server;
    const [command = "", ...rest] = sql.split(" ");
    const name = rest.at(-1) ?? "";
    const done: Result = { rows: [], rowCount: 0, command };
    const { work } = this;
    if (command === "INSERT") {
      if (work === undefined) server.autocommitted.push(...params);
      (work?.rows ?? server.rows).push(...params);
      return { ...done, rowCount: params.length };
    }
    if (command === "SELECT") {
      const rows = [...server.rows, ...work?.rows ?? []];
      return { rows, rowCount: rows.length, command };
    }
    if (command === "BEGIN") this.work = { rows: [], savepoints: [], failed: false };
    if (command === "COMMIT") {
      this.work = undefined;
      if (work?.failed && server.options.dialect === "postgres") return { ...done, command: "ROLLBACK" };
      server.rows.push(...work?.rows ?? []);
    }
    if (sql === "ROLLBACK") this.work = undefined;
    if (command === "SAVEPOINT") work?.savepoints.push([name, work.rows.length]);
    if (work !== undefined && (command === "RELEASE" || sql.startsWith("ROLLBACK TO"))) {
      const at = work.savepoints.findLastIndex(([other]) => other === name);
      if (at < 0) throw errors.fail();
      if (command === "RELEASE") work.savepoints.length = at;
      else {
        work.rows.length = work.savepoints[at]![1];
        work.failed = false;
      }
    }
    return done;
  }
}
