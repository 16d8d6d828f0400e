/** Single loads gathered into batches. */
import assert from "node:assert/strict";
import { AsyncBatcher } from "../../../src/flow/async_batcher.ts";
import { sink } from "../../_measure.ts";
import { byHand, ours, type Row, theirs } from "../_rows.ts";

const BATCH = 100;

async function serve(ids: readonly number[]): Promise<number[]> {
  await undefined;
  return ids.map((id) => 2 * id);
}

/** One call of the batch function for all loads of a turn, and each load gets its own value. */
async function checkBatches(
  loader: (serve: (ids: readonly number[]) => Promise<number[]>) => (id: number) => Promise<number>,
): Promise<void> {
  const batches: number[] = [];
  const load = loader((ids) => {
    batches.push(ids.length);
    return serve(ids);
  });
  const ids = Array.from({ length: BATCH }, (_, i) => i);
  assert.deepEqual(
    await Promise.all(ids.map(load)),
    ids.map((id) => 2 * id),
    "values are not those of the loads",
  );
  assert.deepEqual(batches, [BATCH], `served in batches of ${batches.join(", ")}`);
}

class HandBatcher {
  readonly #serve: (ids: readonly number[]) => Promise<number[]>;
  #open: { id: number; resolve: (value: number) => void; reject: (error: unknown) => void }[] = [];

  constructor(serve: (ids: readonly number[]) => Promise<number[]>) {
    this.#serve = serve;
  }

  load(id: number): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#open.push({ id, resolve, reject }) === 1) queueMicrotask(() => void this.#dispatch());
    });
  }

  async #dispatch(): Promise<void> {
    const batch = this.#open;
    this.#open = [];
    try {
      const results = await this.#serve(batch.map(({ id }) => id));
      if (results.length !== batch.length) throw new Error("Cannot hand out");
      batch.forEach(({ resolve }, i) => resolve(results[i]!));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

interface LoaderModule {
  default: new (
    serve: (ids: readonly number[]) => Promise<number[]>,
    options: { cache: boolean; maxBatchSize?: number },
  ) => { load(id: number): Promise<number> };
}

const loads: Row = {
  kind: "time",
  name: "batcher: 100 loads a batch",
  size: 20_000,
  unit: BATCH,
  rivals: [
    byHand({
      async check() {
        await checkBatches((serve) => {
          const hand = new HandBatcher(serve);
          return (id) => hand.load(id);
        });
        const hand = new HandBatcher(serve);
        return [hand, hand.load(1)];
      },
      async run(_, size) {
        const hand = new HandBatcher(serve);
        for (let done = 0; done < size; done += BATCH) {
          const all: Promise<number>[] = [];
          for (let i = 0; i < BATCH; i++) all.push(hand.load(i));
          for (const value of await Promise.all(all)) sink(value);
        }
      },
    }),
    ours({
      async check() {
        await checkBatches((serve) => {
          const batcher = new AsyncBatcher(serve, { maxSize: BATCH });
          return (id) => batcher.add(id);
        });
        const batcher = new AsyncBatcher((_: readonly number[]) => new Promise<number[]>(() => {}));
        return [batcher, batcher.add(1)];
      },
      async run(_, size) {
        const batcher = new AsyncBatcher(serve, { maxSize: BATCH });
        for (let done = 0; done < size; done += BATCH) {
          const all: Promise<number>[] = [];
          for (let i = 0; i < BATCH; i++) all.push(batcher.add(i));
          for (const value of await Promise.all(all)) sink(value);
        }
      },
    }),
    theirs("dataloader", ({ default: DataLoader }: LoaderModule) => ({
      async check() {
        await checkBatches((serve) => {
          const loader = new DataLoader(serve, { cache: false });
          return (id) => loader.load(id);
        });
        const loader = new DataLoader(() => new Promise(() => {}), { cache: false });
        return [loader, [loader.load(1)]];
      },
      async run(_, size) {
        const loader = new DataLoader(serve, { cache: false, maxBatchSize: BATCH });
        for (let done = 0; done < size; done += BATCH) {
          const all: Promise<number>[] = [];
          for (let i = 0; i < BATCH; i++) all.push(loader.load(i));
          for (const value of await Promise.all(all)) sink(value);
        }
      },
    })),
  ],
};

/** The rows of this file. */
export const rows: readonly Row[] = [loads];
