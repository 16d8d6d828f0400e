/** Resources that know what was done to them, and a pool over them. */
import assert from "node:assert/strict";
import { sleep } from "../../src/cancel/sleep.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { AsyncResourcePool } from "../../src/resource/async_resource_pool.ts";
import type { AsyncResourcePoolOptions } from "../../src/resource/pool_options.ts";

export interface Thing {
  readonly id: number;
  destroyed: boolean;
}

export interface StoreOptions extends Partial<AsyncResourcePoolOptions<Thing>> {
  createMs?: number;
  destroyMs?: number;
}

/** A pool of numbered things; creating and destroying take 0 ms unless told otherwise. */
export class Store {
  readonly all: Thing[] = [];
  /** When each attempt to create began. */
  readonly attemptsMs: number[] = [];
  /** What attempts to create fail with, while it is set. */
  down: { readonly error: unknown } | undefined;
  readonly pool: AsyncResourcePool<Thing>;

  constructor({ createMs = 0, destroyMs = 0, ...options }: StoreOptions = {}, now: () => number = () => 0) {
    this.pool = new AsyncResourcePool<Thing>({
      max: 2,
      name: "orders",
      create: async ({ signal }) => {
        this.attemptsMs.push(now());
        if (createMs > 0) await sleep(createMs, { signal });
        if (this.down !== undefined) throw this.down.error;
        const thing = { id: this.all.length + 1, destroyed: false };
        this.all.push(thing);
        return thing;
      },
      destroy: async (thing) => {
        assert.equal(thing.destroyed, false, "destroyed twice");
        thing.destroyed = true;
        if (destroyMs > 0) await sleep(destroyMs);
      },
      ...options,
    });
  }

  /** The numbers of those that are alive. */
  get alive(): number[] {
    return this.all.filter(({ destroyed }) => !destroyed).map(({ id }) => id);
  }
}

export async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

/** Records of `pool` by kind, while watched. */
export function records(): Disposable & { of(kind: string): ObserverRecord[] } {
  const seen: ObserverRecord[] = [];
  const watching = observe({ record: (record) => void seen.push(record) });
  return {
    of: (kind) => seen.filter((record) => record.structure === "pool" && record.kind === kind),
    [Symbol.dispose]: () => watching[Symbol.dispose](),
  };
}
