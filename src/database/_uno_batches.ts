/** Inserts and updates of several callers, in one statement for all. */
import { AsyncBatcher } from "../flow/async_batcher.ts";
import type { AsyncBatcherStatistics } from "../flow/async_batcher_options.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { UnoCache } from "./_uno_cache.ts";
import {
  insertRows,
  MOST_PARAMETERS,
  type Row,
  type Update,
  updateRows,
  updateWeight,
} from "./_uno_statements.ts";
import { changeTags, insertTags } from "./_uno_tags.ts";
import type { Dialect } from "./driver.ts";
import { DatabaseError } from "./errors.ts";
import type { Table } from "./table.ts";
import type { Scope } from "./transaction_scope.ts";

/** How the batches of a {@linkcode UnoDb} are made up; see `AsyncBatcher`. */
export interface UnoBatchOptions {
  /** How many rows go into one statement at most. Default 100. */
  maxSize?: number;
  /** How long the first row of a batch waits for others, in milliseconds. Default 0: only for those that come at once. */
  maxWaitMs?: number;
  /** How many rows may wait; callers beyond that wait to be let in. Default `Infinity`. */
  maxPending?: number;
  /** How many batches may run at once, each on a session of its own. Default 1. */
  concurrency?: number;
}

/** Runs work all of which is kept or nothing: in a transaction, or in a part of one. */
export type Atomically = <T>(work: (tx: Scope) => Promise<T>, signal: AbortSignal) => Promise<T>;

interface Insert {
  readonly table: Table;
  readonly columns: readonly string[];
  readonly row: Row;
}

interface Change extends Update {
  readonly table: Table;
  readonly columns: readonly string[];
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
  readonly #inserts: AsyncBatcher<Insert, Row>;
  readonly #updates: AsyncBatcher<Change, Row | undefined>;

  constructor({ name, dialect, cache, atomically, options }: UnoBatchSettings) {
    const rules = {
      ...options,
      name,
      partition: shapeOf,
      // A row that is refused by itself takes none of the others with it.
      bisect: isOfOneRow,
      maxWeight: MOST_PARAMETERS[dialect],
    };
    this.#inserts = new AsyncBatcher<Insert, Row>((items, { signal }) => {
      const { table, columns } = items[0]!;
      return atomically((tx) => {
        for (const { row } of items) {
          const change = { table: table.name, id: row[table.key] };
          cache.writing(tx.root, change, insertTags(change));
        }
        const target = { session: tx, dialect, options: { signal } };
        return insertRows(target, table, columns, items.map(({ row }) => row));
      }, signal);
    }, {
      ...rules,
      // One without values has a statement of its own.
      weight: ({ columns }) => columns.length || MOST_PARAMETERS[dialect],
    });
    this.#updates = new AsyncBatcher<Change, Row | undefined>((items, { signal }) => {
      const { table, columns } = items[0]!;
      return atomically(async (tx) => {
        const target = { session: tx, dialect, options: { signal } };
        const stored: (Row | undefined)[] = [];
        for (const round of rounds(items)) {
          for (const { id } of round) {
            const change = { table: table.name, id };
            cache.writing(tx.root, change, changeTags(change));
          }
          const rows = await updateRows(target, table, columns, round);
          for (const [i, item] of round.entries()) stored[items.indexOf(item)] = rows[i];
        }
        return stored;
      }, signal);
    }, { ...rules, weight: ({ columns }) => updateWeight(columns) });
  }

  insert(item: Insert, options: WaitOptions): Promise<Row> {
    return this.#inserts.add(item, options);
  }

  update(item: Change, options: WaitOptions): Promise<Row | undefined> {
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

/** One statement takes rows of one table and of the same columns. */
function shapeOf({ table, columns }: { readonly table: Table; readonly columns: readonly string[] }): string {
  const { schema, name, key, version } = table;
  return JSON.stringify([schema, name, key, version, table.columns, columns]);
}

/** Updates of a key that is there several times take turns: each sees the ones before. */
function rounds(items: readonly Change[]): readonly (readonly Change[])[] {
  const all: Change[][] = [];
  const seen = new Map<string, number>();
  for (const item of items) {
    const tag = changeTags({ table: "", id: item.id }).join();
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
