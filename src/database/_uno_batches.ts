/** Inserts and updates of several callers, in one statement for all. */
import { AsyncBatcher } from "../flow/async_batcher.ts";
import type { AsyncBatcherStatistics } from "../flow/async_batcher_options.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { Atomically } from "./_uno_atomically.ts";
import type { UnoCache } from "./_uno_cache.ts";
import { insertRows, type Update, updateRows } from "./_uno_statements.ts";
import type { Row, Shape } from "./_uno_table.ts";
import { changeTags, insertTags, likeness } from "./_uno_tags.ts";
import type { Dialect } from "./driver.ts";
import { DatabaseError } from "./errors.ts";
import type { Scope } from "./transaction_scope.ts";

/** How the batches of a {@linkcode UnoDb} are made up; see `AsyncBatcher`. */
export interface UnoBatchOptions {
  /** How many rows go into one statement at most. Default 100. */
  maxSize?: number | undefined;
  /** How long the first row of a batch waits for others, in milliseconds. Default 0: only for those that come at once. */
  maxWaitMs?: number | undefined;
  /** How many rows may wait; callers beyond that wait to be let in. Default `Infinity`. */
  maxPending?: number | undefined;
  /** How many batches may run at once, each on a session of its own. Default 1. */
  concurrency?: number | undefined;
}

interface Insert {
  readonly shape: Shape;
  readonly row: Row;
}

interface Change extends Update {
  readonly shape: Shape;
}

/** What the batches are made with. */
export interface UnoBatchSettings {
  readonly name: string | undefined;
  readonly dialect: Dialect;
  readonly cache: UnoCache;
  readonly atomically: Atomically;
  readonly options: UnoBatchOptions;
}

/** The batches of a database, or of one transaction. */
export class UnoBatches {
  readonly #cache: UnoCache;
  readonly #inserts: AsyncBatcher<Insert, Row>;
  readonly #updates: AsyncBatcher<Change, Row | undefined>;

  constructor({ name, dialect, cache, atomically, options }: UnoBatchSettings) {
    this.#cache = cache;
    const rules = {
      ...options,
      name,
      partition: ({ shape }: Insert | Change) => shape,
      // A row that is refused by itself takes none of the others with it.
      bisect: isOfOneRow,
    };
    this.#inserts = new AsyncBatcher<Insert, Row>((items, { signal }) => {
      const { shape } = items[0]!;
      return atomically((tx) => {
        this.#writing(tx, shape, items.map(({ row }) => row));
        const target = { session: tx, dialect, options: { signal } };
        return insertRows(target, shape, items.map(({ row }) => row));
      }, signal);
    }, rules);
    this.#updates = new AsyncBatcher<Change, Row | undefined>((items, { signal }) => {
      const { shape } = items[0]!;
      return atomically(async (tx) => {
        const target = { session: tx, dialect, options: { signal } };
        const stored = new Map<Change, Row | undefined>();
        for (const round of rounds(items)) {
          for (const { id } of round) {
            const change = { table: shape.facts.table.name, id };
            cache.writing(tx.root, change, changeTags(change));
          }
          const rows = await updateRows(target, shape, round);
          for (const [i, item] of round.entries()) stored.set(item, rows[i]);
        }
        return items.map((item) => stored.get(item));
      }, signal);
    }, rules);
  }

  /** Notes what is about to be inserted; rows whose keys the database makes are all one. */
  #writing(tx: Scope, { facts: { table }, columns }: Shape, rows: readonly Row[]): void {
    const ids = columns.includes(table.key) ? rows.map((row) => row[table.key]) : [undefined];
    for (const id of ids) {
      const change = { table: table.name, id };
      this.#cache.writing(tx.root, change, insertTags(change));
    }
  }

  insert(item: Insert, options: WaitOptions | undefined): Promise<Row> {
    return this.#inserts.add(item, options);
  }

  update(item: Change, options: WaitOptions | undefined): Promise<Row | undefined> {
    return this.#updates.add(item, options);
  }

  /** Has everything sent that waits. */
  async flush(): Promise<void> {
    await Promise.all([this.#inserts.flush(), this.#updates.flush()]);
  }

  async close(pending: "flush" | "reject"): Promise<void> {
    await Promise.all([this.#inserts.close({ pending }), this.#updates.close({ pending })]);
  }

  statistics(): { readonly inserts: AsyncBatcherStatistics; readonly updates: AsyncBatcherStatistics } {
    return { inserts: this.#inserts.statistics(), updates: this.#updates.statistics() };
  }
}

/** Updates of a key that is there several times take turns: each sees the ones before. */
function rounds(items: readonly Change[]): readonly (readonly Change[])[] {
  const all: Change[][] = [];
  const seen = new Map<string, number>();
  const like = likeness(items.map(({ id }) => id));
  for (const item of items) {
    const tag = like(item.id);
    const round = seen.get(tag) ?? 0;
    seen.set(tag, round + 1);
    (all[round] ??= []).push(item);
  }
  return all;
}

/** Whether a failure may be that of one row, and the others good. */
function isOfOneRow(error: unknown): boolean {
  if (error instanceof DatabaseError) {
    const { constructor, failure } = error;
    return failure === "constraint" || failure === "statement" ||
      (failure === "other" && constructor === DatabaseError);
  }
  // A value that can't be bound; by name, as the sandboxes of test runners have classes of their own.
  return error instanceof Error && (error.name === "TypeError" || error.name === "RangeError");
}
