import type { Run } from "../flow/policy.ts";
import { checkFunction, checkInteger, subject } from "../kernel/checks.ts";
import { checkDrain } from "./_drain.ts";
import { Pool } from "./_pool.ts";
import { PLAIN, type Request } from "./_pool_line.ts";
import { requestOf, runLeased } from "./_pool_requests.ts";
import { checkPoolOptions, settingsOf } from "./_pool_settings.ts";
import { closedError } from "./_pool_words.ts";
import type {
  AsyncResourcePoolOptions,
  PoolAcquireOptions,
  PoolCloseOptions,
  PoolCloseReport,
  PoolLease,
  PoolRunContext,
  PoolRunOptions,
  PoolStatistics,
} from "./pool_options.ts";

/**
 * Keeps resources that are dear to make, and leases each to one caller at a time, or to so many.
 *
 * **Order** — a resource that comes back goes to the longest waiter directly, or to the one with the highest priority;
 * of idle ones, the last to come back is leased first. **Creating** — is for nobody in particular: a caller that gives
 * up leaves it going on for the next. When it fails, it is tried again after a pause, one attempt at a time, and each
 * caller waits for as long as it can (`failFast`: is refused at once). **Validity** — one that is not known to be good
 * is validated before it is leased, and replaced if it is bad, while its caller keeps its place. **Limits** — `max`
 * counts what is being created and destroyed, too. **Sharing** — with `leasesPerResource`, what is in use is leased again
 * before what is idle; it is recycled, validated or ended when all have given it back, and not leased again if it is
 * about to end, as after {@linkcode PoolLease.discard}. **Abort** — a caller that gives up gets nothing and costs nothing.
 * **Owners** — when all that there are is held by owners that wait for another one, the call that completes the circle
 * is refused with a `PoolSelfDeadlockError`; an owner does one thing at a time. **Close** — sends waiters away, waits
 * for borrowers, destroys everything; nothing is created afterwards. **Misuse** — a lease gives back once; releasing it
 * again throws, disposing it again does nothing.
 *
 * One timer at most, which does not keep the process alive unless somebody waits for the next attempt to create.
 *
 * @example
 * ```ts
 * import { AsyncResourcePool } from "@uno/async/resource";
 * import assert from "node:assert/strict";
 *
 * let opened = 0;
 * await using pool = new AsyncResourcePool({
 *   max: 2,
 *   name: "orders",
 *   create: () => Promise.resolve({ id: ++opened, [Symbol.dispose]() {} }),
 * });
 * {
 *   using lease = await pool.acquire({ timeoutMs: 500 });
 *   assert.equal(lease.value.id, 1);
 * }
 * assert.equal(await pool.run(({ value }) => value.id), 1);
 * assert.equal(pool.statistics().idle, 1);
 * ```
 *
 * @example
 * ```ts
 * import { AsyncResourcePool } from "@uno/async/resource";
 * import assert from "node:assert/strict";
 *
 * // Connections that serve a hundred calls at once each.
 * let opened = 0;
 * await using sessions = new AsyncResourcePool({
 *   max: 2,
 *   leasesPerResource: 100,
 *   create: () => Promise.resolve({ id: ++opened }),
 * });
 * const ids = await Promise.all(Array.from({ length: 150 }, () => sessions.run(({ value }) => Promise.resolve(value.id))));
 * assert.deepEqual([ids.length, opened], [150, 2]);
 * ```
 */
export class AsyncResourcePool<T> implements Run<PoolRunContext<T>>, AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #pool: Pool<T>;
  readonly #what: string;
  /** Whether it is noted where each lease was acquired. */
  readonly #watched: boolean;

  /**
   * Creates a pool; the resources to be kept begin to be created in the next microtask, others when they are needed.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: AsyncResourcePoolOptions<T>) {
    checkPoolOptions(options);
    const doing = `create ${subject("pool", options.name)}`;
    const { max, min = 0, leasesPerResource = 1 } = options;
    checkInteger(doing, "max", max, 1);
    checkInteger(doing, "min", min, 0, max);
    checkInteger(doing, "leasesPerResource", leasesPerResource, 1);
    checkFunction(doing, "create", options.create);
    const settings = settingsOf(options, (context) => options.create(context));
    this.name = options.name;
    this.#what = settings.what;
    this.#watched = settings.leakAfterMs !== Infinity;
    this.#pool = new Pool(settings, { max, min, seats: leasesPerResource });
  }

  /** How many resources there may be; changed by {@linkcode resize}. */
  get max(): number {
    return this.#pool.max;
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#pool.closed;
  }

  /**
   * Waits for a resource and holds it until the lease is released, disposed or discarded.
   *
   * @param options `signal` and `timeoutMs` bound this wait only; `owner` and `label` say who will hold it; of those
   * who wait, the highest `priority` is served first.
   * @throws {PoolTimeoutError} At the limit, saying what is in use and by whom; `cause` is what creating failed with.
   * @throws {PoolFullError} When `maxWaiters` wait already.
   * @throws {PoolSelfDeadlockError} When `owner` and all others who hold something would wait for each other.
   * @throws {PoolClosedError} When the pool is closed, before or while waiting.
   * @throws What creating fails with, with `failFast`.
   * @throws The reason of `signal`, unchanged.
   */
  acquire(options?: PoolAcquireOptions): Promise<PoolLease<T>> {
    if (options === undefined && !this.#watched) return this.#acquire(PLAIN, undefined, undefined);
    const refused = this.#pool.line.refusal(options);
    if (refused !== undefined) return refused;
    try {
      return this.#acquire(this.#request(options, this.acquire), options?.signal, options?.timeoutMs);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Leases a resource if one is idle, known to be good, and nobody waits; never waits.
   *
   * @returns The lease, or `undefined`.
   */
  tryAcquire(options?: Pick<PoolAcquireOptions, "owner" | "label">): PoolLease<T> | undefined {
    const request = this.#request(options, this.tryAcquire);
    return this.closed ? undefined : this.#pool.take(request);
  }

  /**
   * Runs `fn` with a resource, which is given back when `fn` has settled.
   *
   * **Abort** — rejects at once and aborts the signal that `fn` has; the resource is given back when `fn` has settled
   * all the same.
   *
   * @param options `timeoutMs` bounds the whole call, `queueTimeoutMs` the wait for the resource.
   * @returns What `fn` returns.
   * @throws As {@linkcode acquire} while waiting; then a `TimeoutError` at the limit, and what `fn` throws.
   */
  async run<R>(
    fn: (context: PoolRunContext<T>) => R | PromiseLike<R>,
    options: PoolRunOptions = {},
  ): Promise<R> {
    return await runLeased(this.#what, this.#pool.settings, fn, options, (hold) => this.acquire(hold));
  }

  /**
   * Changes how many resources there may be. More serves waiters at once; of what is too much, idle resources are
   * destroyed at once, others when they come back; 0 leases nothing, and keeps the line.
   *
   * @param max The new number, 0 or more; `min` counts as that where it is more.
   */
  resize(max: number): void {
    checkInteger(`resize ${this.#what}`, "max", max, 0);
    this.#pool.resize(max);
  }

  /** Replaces what there is: idle resources are destroyed at once, others when they come back. */
  evict(): void {
    this.#pool.evict();
  }

  /**
   * Leases nothing any more, sends waiters away, waits for borrowers, and destroys everything. Again: waits for the same
   * end, which a shorter grace brings nearer.
   *
   * @param options `graceMs` is how long borrowers are waited for; then what they have is destroyed under them. Default
   * `Infinity`.
   * @returns Who still held something then, and what destroying failed with. Their leases can still be given back.
   */
  close(options: PoolCloseOptions = {}): Promise<PoolCloseReport> {
    try {
      return this.#pool.close(checkDrain(`close ${this.#what}`, options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Closes it; see {@linkcode close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A snapshot of resources, waiters and the totals so far. */
  statistics(): PoolStatistics {
    return this.#pool.statistics();
  }

  #acquire(
    request: Request,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
  ): Promise<PoolLease<T>> {
    const pool = this.#pool;
    if (pool.closed) return Promise.reject(closedError(this.#what));
    const lease = pool.take(request);
    if (lease !== undefined) return Promise.resolve(lease);
    return pool.wait(request, signal, timeoutMs);
  }

  #request(options: PoolAcquireOptions | undefined, from: object): Request {
    const watched = this.#watched;
    if (options === undefined && !watched) return PLAIN;
    return requestOf(this.#what, watched ? from : undefined, options, 0);
  }
}
