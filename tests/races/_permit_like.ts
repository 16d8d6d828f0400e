/** Whatever hands out something limited, seen as permits: what the random suite needs of each structure. */
import { deferred, ignore } from "../../src/kernel/deferred.ts";
import { Limiter } from "../../src/flow/limiter.ts";
import { AsyncResourcePool } from "../../src/resource/async_resource_pool.ts";
import { KeyedResourcePool } from "../../src/resource/keyed_resource_pool.ts";
import { PoolClosedError } from "../../src/resource/pool_errors.ts";
import type { PoolAcquireOptions, PoolLease } from "../../src/resource/pool_options.ts";
import { AsyncLock } from "../../src/sync/async_lock.ts";
import { AsyncSemaphore } from "../../src/sync/async_semaphore.ts";
import { Channel } from "../../src/sync/channel.ts";

/** What somebody holds. */
export interface Hold {
  /** Gives it back. */
  release(): void;
  /** Gives it back a second time, in every way there is; returns what each way threw, if anything. */
  releaseAgain?(): unknown[];
}

/** One structure with permits. */
export interface PermitLike {
  readonly capacity: number;
  acquire(options: { weight: number; signal: AbortSignal; timeoutMs: number }): Promise<Hold>;
  tryAcquire?(weight: number): Hold | undefined;
  resize?(capacity: number): void;
  /** Closes it with a reason for those who wait; holders may go on. */
  close?(reason: unknown): void;
  /** How many permits are held, and how many callers wait, as the structure itself says. */
  counts(): { inUse: number; waiting: number };
  /** Whether nothing is on its way to anybody: then no more turns are waited for. */
  isStill?(): boolean;
  /** What has become of the calls so far, as the structure itself says. */
  totals(): { granted?: number; aborted?: number; timedOut: number };
}

/** How to make one, and how far it goes. */
export interface PermitKind {
  readonly name: string;
  readonly make: (capacity: number) => PermitLike;
  readonly minCapacity: number;
  readonly maxCapacity: number;
  readonly maxWeight: number;
  /** Only the oldest hold can be given back. */
  readonly oldestFirst?: boolean;
  /** How many turns it takes at most until what is given back is with whoever is next, if not none. */
  readonly turns?: number;
  /** Whether a weight that can never be had is refused, and a resize below it sends waiters away. */
  readonly refusesWeights?: boolean;
}

interface LeaseLike extends Disposable {
  release(): void;
}

/** A hold made of a lease. */
export function holdOf(lease: LeaseLike): Hold {
  const attempt = (again: () => void): unknown => {
    try {
      again();
    } catch (error) {
      return error;
    }
  };
  return {
    release: () => lease.release(),
    releaseAgain: () => [attempt(() => lease[Symbol.dispose]()), attempt(() => lease.release())],
  };
}

/** Every structure that the suite is run over. One that is added here is put through all of it. */
export const permitKinds: readonly PermitKind[] = [
  { name: "AsyncLock", make: lock, minCapacity: 1, maxCapacity: 1, maxWeight: 1 },
  {
    name: "AsyncSemaphore",
    make: semaphore,
    minCapacity: 0,
    maxCapacity: 6,
    maxWeight: 3,
    refusesWeights: true,
  },
  { name: "Channel, receiving tokens", make: tokens, minCapacity: 1, maxCapacity: 5, maxWeight: 1 },
  {
    name: "Channel, sending into places",
    make: places,
    minCapacity: 3,
    maxCapacity: 6,
    maxWeight: 3,
    oldestFirst: true,
  },
  { name: "Limiter, by leases", make: limiter, minCapacity: 0, maxCapacity: 5, maxWeight: 1 },
  { name: "Limiter, by work", make: working, minCapacity: 0, maxCapacity: 5, maxWeight: 1, turns: 6 },
  { name: "AsyncResourcePool, kept", make: kept, minCapacity: 0, maxCapacity: 5, maxWeight: 1, turns: 30 },
  {
    name: "AsyncResourcePool, used once",
    make: usedOnce,
    minCapacity: 0,
    maxCapacity: 5,
    maxWeight: 1,
    turns: 30,
  },
  {
    name: "AsyncResourcePool, shared",
    make: sharing,
    minCapacity: 1,
    maxCapacity: 5,
    maxWeight: 1,
    turns: 30,
  },
  { name: "KeyedResourcePool", make: byKey, minCapacity: 0, maxCapacity: 5, maxWeight: 1, turns: 30 },
];

function lock(): PermitLike {
  const lock = new AsyncLock();
  return {
    capacity: 1,
    acquire: async ({ signal, timeoutMs }) => holdOf(await lock.acquire({ signal, timeoutMs })),
    tryAcquire() {
      const lease = lock.tryAcquire();
      return lease && holdOf(lease);
    },
    counts: () => ({ inUse: lock.held ? 1 : 0, waiting: lock.statistics().waiting }),
    totals: () => lock.statistics(),
  };
}

function semaphore(capacity: number): PermitLike {
  const semaphore = new AsyncSemaphore(capacity);
  return {
    capacity,
    acquire: async (options) => holdOf(await semaphore.acquire(options)),
    tryAcquire(weight) {
      const lease = semaphore.tryAcquire({ weight });
      return lease && holdOf(lease);
    },
    resize: (capacity) => semaphore.resize(capacity),
    close: (reason) => semaphore.close(reason),
    counts: () => semaphore.statistics(),
    totals: () => semaphore.statistics(),
  };
}

/** Each permit is a token in the channel, taken by receiving it and given back by sending it. */
function tokens(capacity: number): PermitLike {
  const channel = new Channel<number>({ capacity });
  const out = new Set<number>();
  for (let token = 0; token < capacity; token++) channel.trySend(token);
  const take = (token: number): Hold => {
    if (out.has(token)) throw new Error(`Cannot hold token ${token}: somebody else does`);
    out.add(token);
    return {
      release() {
        out.delete(token);
        if (!channel.trySend(token)) throw new Error("Cannot give a token back: no room");
      },
    };
  };
  return {
    capacity,
    acquire: async ({ signal, timeoutMs }) => take(await channel.receive({ signal, timeoutMs })),
    tryAcquire() {
      const box = channel.tryReceive();
      return box && take(box.value);
    },
    counts: () => ({ inUse: capacity - channel.size, waiting: channel.statistics().receiving }),
    totals: () => channel.statistics(),
  };
}

/** Each permit is room in the channel, taken by sending something of that weight and given back by receiving it. */
function places(capacity: number): PermitLike {
  const channel = new Channel<{ weight: number }>({ capacity, weigh: ({ weight }) => weight });
  const take = (value: object): Hold => ({
    release() {
      const oldest = channel.tryReceive()?.value;
      if (oldest !== value) throw new Error("Cannot give a place back: another value came out of it");
    },
  });
  return {
    capacity,
    async acquire({ weight, signal, timeoutMs }) {
      const value = { weight };
      await channel.send(value, { signal, timeoutMs });
      return take(value);
    },
    tryAcquire(weight) {
      const value = { weight };
      return channel.trySend(value) ? take(value) : undefined;
    },
    close: (reason) => channel.close(reason),
    counts: () => ({ inUse: channel.statistics().weight, waiting: channel.statistics().sending }),
    totals: () => channel.statistics(),
  };
}

function limiter(capacity: number): PermitLike {
  const limiter = new Limiter({ limit: capacity });
  return {
    capacity,
    acquire: async ({ signal, timeoutMs }) => holdOf(await limiter.acquire({ signal, timeoutMs })),
    tryAcquire() {
      const lease = limiter.tryAcquire();
      return lease && holdOf(lease);
    },
    resize: (capacity) => limiter.resize(capacity),
    close: (reason) => void limiter.close({ pending: "reject", reason }),
    counts: () => limiter.statistics(),
    totals: () => limiter.statistics(),
  };
}

/** Work that does not heed its signal: the slot is taken until it ends, whether or not its caller has gone. */
function working(capacity: number): PermitLike {
  const limiter = new Limiter({ limit: capacity });
  return {
    capacity,
    acquire: ({ signal, timeoutMs }) =>
      new Promise((resolve, reject) => {
        limiter.run(() => {
          const end = deferred<void>();
          resolve({ release: () => end.resolve() });
          return end.promise;
        }, { signal, queueTimeoutMs: timeoutMs }).catch(reject);
      }),
    resize: (capacity) => limiter.resize(capacity),
    close: (reason) => void limiter.close({ pending: "reject", reason }).catch(ignore),
    counts: () => limiter.statistics(),
    // Not how many were aborted: that of work that runs counts, too.
    totals: () => ({ timedOut: limiter.statistics().timedOut }),
  };
}

interface PoolLike {
  resize(max: number): void;
  close(): Promise<unknown>;
  statistics(): Readonly<Record<"inUse" | "waiting" | "creating" | "destroying", number>> & PoolTotals;
}

type PoolTotals = Readonly<Record<"granted" | "aborted" | "timedOut", number>>;

/** What pools have in common; those who wait when one closes get the reason that the suite has given. */
function pooled(
  capacity: number,
  pool: PoolLike,
  acquire: (options: PoolAcquireOptions) => Promise<PoolLease<object>>,
): PermitLike {
  let closing: unknown;
  return {
    capacity,
    async acquire({ signal, timeoutMs }) {
      try {
        return holdOf(await acquire({ signal, timeoutMs }));
      } catch (error) {
        throw error instanceof PoolClosedError ? closing : error;
      }
    },
    resize: (capacity) => pool.resize(capacity),
    close(reason) {
      closing = reason;
      void pool.close();
    },
    counts: () => pool.statistics(),
    isStill() {
      const { creating, destroying } = pool.statistics();
      return creating === 0 && destroying === 0;
    },
    totals: () => pool.statistics(),
  };
}

/** Resources that are there before anybody asks, and stay. */
function kept(capacity: number): PermitLike {
  const pool = new AsyncResourcePool({ max: 5, min: 5, create: () => ({}) });
  pool.resize(capacity);
  return {
    ...pooled(capacity, pool, (options) => pool.acquire(options)),
    tryAcquire() {
      const lease = pool.tryAcquire();
      return lease && holdOf(lease);
    },
  };
}

/** Each use has a resource made, and destroyed: what is given back is a place. */
function usedOnce(capacity: number): PermitLike {
  const pool = new AsyncResourcePool({ max: capacity, maxUses: 1, create: () => ({}) });
  return pooled(capacity, pool, (options) => pool.acquire(options));
}

/** One resource, which so many may use at once. */
function sharing(capacity: number): PermitLike {
  const pool = new AsyncResourcePool({ max: 1, min: 1, leasesPerResource: capacity, create: () => ({}) });
  return {
    ...pooled(capacity, pool, (options) => pool.acquire(options)),
    tryAcquire() {
      const lease = pool.tryAcquire();
      return lease && holdOf(lease);
    },
    resize: undefined,
    counts: () => ({ inUse: pool.statistics().leases, waiting: pool.statistics().waiting }),
  };
}

/** Of several keys by turns, so that mostly somebody else's resource has to make room. */
function byKey(capacity: number): PermitLike {
  const pool = new KeyedResourcePool({ max: capacity, create: (_key: number) => ({}) });
  let calls = 0;
  return pooled(capacity, pool, (options) => pool.acquire(calls++ % 3, options));
}
