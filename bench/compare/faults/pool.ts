/** Pools that lend one thing twice, lose room, or call without end. */
import { AsyncResourcePool } from "../../../src/resource/async_resource_pool.ts";
import { after, type Fault, turn } from "../_faults.ts";
import { ours, theirs } from "../_rows.ts";

interface Thing {
  readonly id: number;
}

/** What the scenes need of a pool of one thing. */
interface Pool {
  acquire(): Promise<Thing>;
  /** Gives back what the `nth` call acquired, as its caller would. */
  release(nth: number): unknown;
}

interface Ways {
  create(): Promise<Thing>;
  destroy?(): void;
  validate?(): Promise<boolean>;
  acquireTimeoutMs?: number;
}

function viaOurs({ create, destroy, validate, acquireTimeoutMs = 5_000 }: Ways): Pool {
  const pool = new AsyncResourcePool({ max: 1, create, destroy, validate, freshMs: 0, acquireTimeoutMs });
  const leases: { release(): void }[] = [];
  return {
    async acquire() {
      const lease = await pool.acquire();
      leases.push(lease);
      return lease.value;
    },
    release(nth) {
      try {
        leases[nth]!.release();
      } catch {
        // A caller who gives back twice is told.
      }
    },
  };
}

interface GenericModule {
  default: {
    createPool(
      factory: { create(): Promise<Thing>; destroy(): Promise<void>; validate?(): Promise<boolean> },
      options: { max: number; testOnBorrow: boolean; acquireTimeoutMillis: number },
    ): { acquire(): Promise<Thing>; release(thing: Thing): Promise<void> };
  };
}

function viaGeneric({ default: { createPool } }: GenericModule): (ways: Ways) => Pool {
  return ({ create, destroy, validate, acquireTimeoutMs = 5_000 }) => {
    const factory = { create, destroy: () => Promise.resolve(destroy?.()), ...(validate && { validate }) };
    const pool = createPool(factory, {
      max: 1,
      testOnBorrow: validate !== undefined,
      acquireTimeoutMillis: acquireTimeoutMs,
    });
    const acquired: Thing[] = [];
    return {
      async acquire() {
        const thing = await pool.acquire();
        acquired.push(thing);
        return thing;
      },
      release: (nth) => pool.release(acquired[nth]!).catch(() => {}),
    };
  };
}

interface TarnModule {
  Pool: new (options: {
    create(): Promise<Thing>;
    destroy(thing: Thing): void;
    validate?(): Promise<boolean>;
    min: number;
    max: number;
    acquireTimeoutMillis: number;
    propagateCreateError: boolean;
  }) => { acquire(): { promise: Promise<Thing> }; release(thing: Thing): boolean };
}

function viaTarn({ Pool }: TarnModule): (ways: Ways) => Pool {
  return ({ create, destroy, validate, acquireTimeoutMs = 5_000 }) => {
    const pool = new Pool({
      create,
      destroy: () => destroy?.(),
      ...(validate && { validate }),
      min: 0,
      max: 1,
      acquireTimeoutMillis: acquireTimeoutMs,
      propagateCreateError: false,
    });
    const acquired: Thing[] = [];
    return {
      async acquire() {
        const thing = await pool.acquire().promise;
        acquired.push(thing);
        return thing;
      },
      release: (nth) => pool.release(acquired[nth]!),
    };
  };
}

function creating(): () => Promise<Thing> {
  let id = 0;
  return () => Promise.resolve({ id: id++ });
}

const ENOUGH = 5_000;

async function creates(make: (ways: Ways) => Pool): Promise<number> {
  let calls = 0;
  // After so many nothing comes any more, or the scene would never end.
  const create = (): Promise<Thing> =>
    ++calls >= ENOUGH ? new Promise(() => {}) : Promise.reject(new Error("down"));
  make({ create, acquireTimeoutMs: 300 }).acquire().catch(() => {});
  await turn(200);
  return calls;
}

const spins: Fault<number> = {
  name: "a pool that can't create tries without a pause",
  scene: "Creating fails at once, always; one caller waits, and 200 ms pass.",
  right: "It is tried again with pauses: a few times.",
  tell: (calls) => calls >= ENOUGH ? `${ENOUGH} attempts, where the scene stops it` : `attempts: ${calls}`,
  wrong: (calls) => calls > 100,
  cast: [
    ours(() => creates(viaOurs)),
    theirs("generic-pool", (module: GenericModule) => () => creates(viaGeneric(module))),
    theirs("tarn", (module: TarnModule) => () => creates(viaTarn(module))),
  ],
};

async function afterBadValidation(make: (ways: Ways) => Pool): Promise<string> {
  // Some ask also before a new one is lent.
  let bad = false;
  const validate = (): Promise<boolean> => {
    if (!bad) return Promise.resolve(true);
    bad = false;
    return Promise.reject(new Error("connection reset"));
  };
  const pool = make({ create: creating(), validate });
  await pool.acquire();
  await pool.release(0);
  bad = true;
  return await after(200, pool.acquire());
}

const losesRoom: Fault<string> = {
  name: "a validation that fails takes the room for good",
  scene: "A pool of one. Its thing is idle, and the check before it is lent again rejects, once.",
  right: "It is replaced, and the caller gets the new one.",
  tell: (state) =>
    state === "fulfilled" ? "the caller gets a new one" : `200 ms later the caller's wait is ${state}`,
  wrong: (state) => state !== "fulfilled",
  cast: [
    ours(() => afterBadValidation(viaOurs)),
    theirs("generic-pool", (module: GenericModule) => () => afterBadValidation(viaGeneric(module))),
    theirs("tarn", (module: TarnModule) => () => afterBadValidation(viaTarn(module))),
  ],
};

async function givenBackTwice(make: (ways: Ways) => Pool): Promise<string> {
  const pool = make({ create: creating() });
  await pool.acquire();
  await pool.release(0);
  await pool.acquire();
  await pool.release(0);
  return await after(50, pool.acquire());
}

const twoOwners: Fault<string> = {
  name: "giving back twice lends to two at once",
  scene: "A pool of one. A gives it back, B gets it, A gives it back once more, C asks.",
  right: "C waits: B has it.",
  tell: (state) =>
    state === "pending" ? "C waits" : state === "fulfilled" ? "B and C both have it" : "C is refused",
  wrong: (state) => state === "fulfilled",
  cast: [
    ours(() => givenBackTwice(viaOurs)),
    theirs("generic-pool", (module: GenericModule) => () => givenBackTwice(viaGeneric(module))),
    theirs("tarn", (module: TarnModule) => () => givenBackTwice(viaTarn(module))),
  ],
};

async function slowValidation(make: (ways: Ways) => Pool): Promise<number> {
  let [destroyed, slow] = [0, false];
  const pool = make({
    create: creating(),
    destroy: () => void destroyed++,
    validate: () => slow ? turn(60).then(() => true) : Promise.resolve(true),
    acquireTimeoutMs: 30,
  });
  await pool.acquire();
  await pool.release(0);
  slow = true;
  await pool.acquire().catch(() => {});
  await turn(150);
  return destroyed;
}

const destroysGood: Fault<number> = {
  name: "a caller who gives up costs a good thing",
  scene:
    "A pool of one. The check before lending takes 60 ms and finds it good; the caller gives up after 30 ms.",
  right: "The thing is kept for the next one.",
  tell: (destroyed) => destroyed === 0 ? "it is kept" : "it is destroyed",
  wrong: (destroyed) => destroyed > 0,
  cast: [
    ours(() => slowValidation(viaOurs)),
    theirs("tarn", (module: TarnModule) => () => slowValidation(viaTarn(module))),
    theirs("generic-pool", (module: GenericModule) => () => slowValidation(viaGeneric(module))),
  ],
};

/** The scenes of this file. */
export const faults: readonly Fault<unknown>[] = [spins, losesRoom, twoOwners, destroysGood];
