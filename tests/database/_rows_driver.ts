/**
 * A database of one table with several sessions in virtual time, for races between reads and commits: a commit takes
 * effect some time after it was sent and some time before it is answered, and its answer may be lost.
 */
import { sleep } from "@uno/async/cancel";
import type { Connection, Driver, Failure, Result } from "@uno/async/database";

export type State = ReadonlyMap<number, number>;

class Lost extends Error {}
class Taken extends Error {}

const failures = new Map<unknown, Failure>([
  [Lost, { kind: "connection", lost: true, txGone: true }],
  [Taken, { kind: "constraint", lost: false, txGone: false, violation: { kind: "unique" } }],
]);

export class RowsServer {
  /** What was committed, after each commit. */
  readonly history: State[] = [new Map()];
  /** Which commit was that of a transaction, by what it said with the statement `mark`. */
  readonly marks = new Map<unknown, { readonly commit: number; readonly ids: readonly number[] }>();
  /** How long each statement takes before it takes effect, and after it. */
  latencyMs: () => readonly [before: number, after: number] = () => [1, 1];
  /** What becomes of a commit. */
  fate: () => "answered" | "lost" | "late" = () => "answered";
  selects = 0;
  /** Statements that had several rows. */
  batches: number[] = [];

  get state(): State {
    return this.history.at(-1)!;
  }

  commit(writes: ReadonlyMap<number, number | undefined>, mark?: unknown): void {
    this.marks.set(mark, { commit: this.history.length, ids: [...writes.keys()] });
    const next = new Map(this.state);
    for (const [id, total] of writes) {
      if (total === undefined) next.delete(id);
      else next.set(id, total);
    }
    this.history.push(next);
  }

  readonly driver: Driver = {
    name: "rows",
    dialect: "postgres",
    connect: () => Promise.resolve(new RowsConnection(this)),
    classify: (error) =>
      failures.get((error as Error).constructor) ?? { kind: "other", lost: false, txGone: false },
    begin: () => ["BEGIN"],
  };
}

class RowsConnection implements Connection {
  readonly raw: unknown = undefined;
  readonly #server: RowsServer;
  #work: Map<number, number | undefined> | undefined;
  /** What was written when each savepoint was opened. */
  #savepoints: ReadonlyMap<number, number | undefined>[] = [];
  #mark: unknown;
  #closed = new AbortController();

  constructor(server: RowsServer) {
    this.#server = server;
  }

  inTransaction(): boolean {
    return this.#work !== undefined;
  }

  async query(sql: string, params: readonly unknown[]): Promise<Result> {
    const [before, after] = this.#server.latencyMs();
    const { signal } = this.#closed;
    await sleep(before, { signal });
    if (sql === "COMMIT") {
      const work = this.#work!;
      const mark = this.#mark;
      const fate = this.#server.fate();
      if (fate === "late") {
        void sleep(50).then(() => this.#server.commit(work, mark));
        throw new Lost("connection lost before the answer");
      }
      this.#server.commit(work, mark);
      this.#work = undefined;
      if (fate === "lost") throw new Lost("connection lost before the answer");
      await sleep(after, { signal });
      return { rows: [], rowCount: 0, command: "COMMIT" };
    }
    const rows = this.#execute(sql, params);
    await sleep(after, { signal });
    return { rows, rowCount: rows.length };
  }

  cancel(): Promise<void> {
    this.#closed.abort(new Lost("cancelled"));
    this.#closed = new AbortController();
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#closed.abort(new Lost("closed"));
    this.#work = undefined;
    return Promise.resolve();
  }

  #execute(sql: string, params: readonly unknown[]): { id: number; total: number }[] {
    const server = this.#server;
    const seen = new Map<number, number | undefined>([...server.state, ...this.#work ?? []]);
    const rowsOf = (ids: Iterable<number>): { id: number; total: number }[] =>
      [...ids].filter((id) => seen.get(id) !== undefined).map((id) => ({ id, total: seen.get(id)! }));
    if (sql === "mark") this.#mark = params[0];
    if (sql === "BEGIN") this.#work = new Map();
    if (sql === "ROLLBACK") this.#work = undefined;
    if (sql.startsWith("SAVEPOINT")) this.#savepoints.push(new Map(this.#work!));
    if (sql.startsWith("ROLLBACK TO")) this.#work = new Map(this.#savepoints.at(-1)!);
    if (sql.startsWith("RELEASE")) this.#savepoints.pop();
    if (sql.startsWith("select")) {
      server.selects++;
      const one = sql.includes('"id" = $1');
      return rowsOf(one ? [params[0] as number] : [...seen.keys()].sort((a, b) => a - b));
    }
    if (sql.startsWith("insert")) {
      const ids: number[] = [];
      server.batches.push(params.length / 2);
      for (let i = 0; i < params.length; i += 2) {
        const [id, total] = params.slice(i, i + 2) as [number, number];
        if (seen.get(id) !== undefined) throw new Taken(`duplicate key ${id}`);
        ids.push(id);
        seen.set(id, total);
      }
      for (const id of ids) this.#work!.set(id, seen.get(id));
      return rowsOf(ids);
    }
    if (sql.startsWith("update") && sql.includes("case")) {
      // Of a batch: pairs of key and value, the keys, and pairs of key and place.
      const found: { id: number; total: number; uno_ordinal: string }[] = [];
      for (let i = 0; i < params.length / 5; i++) {
        const [id, total] = params.slice(2 * i) as [number, number];
        if (seen.get(id) === undefined) continue;
        this.#work!.set(id, total);
        found.push({ id, total, uno_ordinal: String(i) });
      }
      return found;
    }
    if (sql.startsWith("update")) {
      const [total, id] = params as [number, number];
      if (seen.get(id) === undefined) return [];
      seen.set(id, total);
      this.#work!.set(id, total);
      return rowsOf([id]);
    }
    if (sql.startsWith("delete")) {
      const [id] = params as [number];
      this.#work!.set(id, undefined);
    }
    return [];
  }
}
