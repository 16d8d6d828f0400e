/** Pools of resources: free ones, and more callers than resources. */
import assert from "node:assert/strict";
import { AsyncResourcePool } from "../../../src/resource/async_resource_pool.ts";
import { sink } from "../../_measure.ts";
import type { Effect, EffectModule } from "../_effect.ts";
import { byHand, ours, type Row, theirs } from "../_rows.ts";

const SIZE = 10;
const CALLERS = 1_000;

interface Resource {
  readonly id: number;
}

interface Pool {
  acquire(): Promise<Resource>;
  release(resource: Resource): unknown;
}

function creating(): () => Promise<Resource> {
  let id = 0;
  return async () => {
    await undefined;
    return { id: id++ };
  };
}

/** No more than ten are made, none is in two hands, and all callers are served. */
async function checkPool(make: (create: () => Promise<Resource>) => Pool | Promise<Pool>): Promise<unknown> {
  let made = 0;
  const create = creating();
  const pool = await make(() => (made++, create()));
  const inUse = new Set<Resource>();
  await Promise.all(Array.from({ length: 100 }, async () => {
    const resource = await pool.acquire();
    assert.ok(!inUse.has(resource), "one resource is in two hands");
    inUse.add(resource);
    await new Promise((resolve) => setTimeout(resolve));
    inUse.delete(resource);
    await pool.release(resource);
  }));
  assert.ok(made <= SIZE, `${made} are made`);
  const held = await Promise.all(Array.from({ length: SIZE }, () => pool.acquire()));
  // Some give up after half a minute.
  return [pool, held, [pool.acquire().catch(() => {})]];
}

/** Idle ones on a stack, callers in a line. */
class HandPool implements Pool {
  readonly #create: () => Promise<Resource>;
  readonly #idle: Resource[] = [];
  #made = 0;
  #first: Waiter | undefined;
  #last: Waiter | undefined;

  constructor(create: () => Promise<Resource>) {
    this.#create = create;
  }

  acquire(): Promise<Resource> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return Promise.resolve(idle);
    if (this.#made < SIZE) {
      this.#made++;
      return this.#create();
    }
    return new Promise((resolve) => {
      const waiter = { resolve, next: undefined };
      if (this.#last === undefined) this.#first = waiter;
      else this.#last.next = waiter;
      this.#last = waiter;
    });
  }

  release(resource: Resource): void {
    const first = this.#first;
    if (first === undefined) return void this.#idle.push(resource);
    this.#first = first.next;
    if (this.#first === undefined) this.#last = undefined;
    first.resolve(resource);
  }
}

interface Waiter {
  resolve(resource: Resource): void;
  next: Waiter | undefined;
}

interface GenericModule {
  default: {
    createPool(
      factory: { create(): Promise<Resource>; destroy(): Promise<void> },
      options: { max: number },
    ): Pool;
  };
}
interface TarnModule {
  Pool: new (options: { create(): Promise<Resource>; destroy(): void; min: number; max: number }) => {
    acquire(): { promise: Promise<Resource> };
    release(resource: Resource): boolean;
  };
}
interface EffectPoolModule extends EffectModule {
  Pool: {
    make(options: { acquire: Effect<Resource>; size: number }): Effect<object>;
    get(pool: object): Effect<Resource>;
    use<A>(pool: object, fn: (resource: Resource) => Effect<A>): Effect<A>;
  };
  Effect: EffectModule["Effect"] & { scoped<A>(effect: Effect<A>): Effect<A> };
}

function generic({ default: { createPool } }: GenericModule, create: () => Promise<Resource>): Pool {
  return createPool({ create, destroy: () => Promise.resolve() }, { max: SIZE });
}

function tarn({ Pool }: TarnModule, create: () => Promise<Resource>): InstanceType<TarnModule["Pool"]> {
  return new Pool({ create, destroy: () => {}, min: 0, max: SIZE });
}

/** Ours with the functions of the others: a lease is given back instead of a resource. */
function asPool(pool: AsyncResourcePool<Resource>): Pool {
  const leases = new Map<Resource, { release(): void }>();
  return {
    async acquire() {
      const lease = await pool.acquire();
      leases.set(lease.value, lease);
      return lease.value;
    },
    release: (resource) => leases.get(resource)!.release(),
  };
}

function checkOurs(): Promise<unknown> {
  return checkPool((create) => asPool(new AsyncResourcePool({ max: SIZE, create })));
}

function checkTarn(module: TarnModule): Promise<unknown> {
  return checkPool((create) => {
    const pool = tarn(module, create);
    return { acquire: () => pool.acquire().promise, release: (resource) => pool.release(resource) };
  });
}

/** All callers in fibers of one program. */
function inFibers({ Effect, Pool, Fiber }: EffectPoolModule, callers: number, each: number): Promise<void> {
  const create = creating();
  return Effect.runPromise(Effect.scoped(Effect.gen(function* () {
    const pool = yield* Pool.make({ acquire: Effect.promise(create), size: SIZE });
    const use = Pool.use(pool, ({ id }) => Effect.sync(() => sink(id)));
    const caller = Effect.gen(function* () {
      for (let i = 0; i < each; i++) yield* use;
    });
    const fibers = [];
    for (let i = 0; i < callers; i++) fibers.push(yield* Effect.forkChild(caller));
    yield* Fiber.joinAll(fibers);
  })));
}

async function checkFibers(module: EffectPoolModule): Promise<unknown> {
  await inFibers(module, 100, 2);
  const { Effect, Pool } = module;
  return Effect.runFork(Effect.scoped(Effect.gen(function* () {
    const pool = yield* Pool.make({ acquire: Effect.promise(creating()), size: 1 });
    yield* Pool.get(pool);
    yield* Pool.get(pool);
  })));
}

const free: Row = {
  kind: "time",
  name: "pool: free, acquire and release",
  size: 20_000,
  rivals: [
    byHand({
      check: () => checkPool((create) => new HandPool(create)),
      async run(_, size) {
        const pool = new HandPool(creating());
        for (let i = 0; i < size; i++) pool.release(await pool.acquire());
      },
    }),
    ours({
      check: checkOurs,
      async run(_, size) {
        const pool = new AsyncResourcePool({ max: SIZE, create: creating() });
        for (let i = 0; i < size; i++) (await pool.acquire()).release();
        await pool.close();
      },
    }),
    theirs("generic-pool", (module: GenericModule) => ({
      check: () => checkPool((create) => generic(module, create)),
      async run(_, size) {
        const pool = generic(module, creating());
        for (let i = 0; i < size; i++) await pool.release(await pool.acquire());
      },
    })),
    theirs("tarn", (module: TarnModule) => ({
      check: () => checkTarn(module),
      async run(_, size) {
        const pool = tarn(module, creating());
        for (let i = 0; i < size; i++) pool.release(await pool.acquire().promise);
      },
    })),
    theirs("effect", (module: EffectPoolModule) => ({
      check: () => checkFibers(module),
      run: (_, size) => inFibers(module, 1, size),
    }), "in a fiber"),
  ],
};

const contended: Row = {
  kind: "time",
  name: "pool: 1,000 callers on 10 resources",
  size: 20_000,
  unit: CALLERS,
  rivals: [
    byHand({
      check: () => checkPool((create) => new HandPool(create)),
      async run(_, size) {
        const pool = new HandPool(creating());
        const caller = async (): Promise<void> => {
          for (let i = 0; i < size / CALLERS; i++) pool.release(await pool.acquire());
        };
        await Promise.all(Array.from({ length: CALLERS }, caller));
      },
    }),
    ours({
      check: checkOurs,
      async run(_, size) {
        const pool = new AsyncResourcePool({ max: SIZE, create: creating() });
        const caller = async (): Promise<void> => {
          for (let i = 0; i < size / CALLERS; i++) (await pool.acquire()).release();
        };
        await Promise.all(Array.from({ length: CALLERS }, caller));
        await pool.close();
      },
    }),
    theirs("generic-pool", (module: GenericModule) => ({
      check: () => checkPool((create) => generic(module, create)),
      async run(_, size) {
        const pool = generic(module, creating());
        const caller = async (): Promise<void> => {
          for (let i = 0; i < size / CALLERS; i++) await pool.release(await pool.acquire());
        };
        await Promise.all(Array.from({ length: CALLERS }, caller));
      },
    })),
    theirs("tarn", (module: TarnModule) => ({
      check: () => checkTarn(module),
      async run(_, size) {
        const pool = tarn(module, creating());
        const caller = async (): Promise<void> => {
          for (let i = 0; i < size / CALLERS; i++) pool.release(await pool.acquire().promise);
        };
        await Promise.all(Array.from({ length: CALLERS }, caller));
      },
    })),
    theirs("effect", (module: EffectPoolModule) => ({
      check: () => checkFibers(module),
      run: (_, size) => inFibers(module, CALLERS, size / CALLERS),
    }), "in fibers"),
  ],
};

/** The rows of this file. */
export const rows: readonly Row[] = [free, contended];
