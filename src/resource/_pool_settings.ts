/** The options of a pool, checked and completed. */
import { backoffOf } from "../kernel/backoff.ts";
import {
  checkCount,
  checkDurationMs,
  checkFinite,
  checkFunction,
  checkInteger,
  checkName,
  checkOptions,
  subject,
} from "../kernel/checks.ts";
import { EXIT_TIMEOUT_MS } from "./_exits.ts";
import type { PoolBehaviour, PoolContext, PoolCreateContext } from "./pool_options.ts";

/** {@linkcode PoolBehaviour}, complete; the functions are called as methods of the options. */
export interface PoolSettings<T> {
  readonly name: string | undefined;
  /** `pool "orders"`. */
  readonly what: string;
  readonly create: (context: PoolCreateContext) => T | PromiseLike<T>;
  readonly destroy: (value: T, context: PoolContext) => unknown;
  readonly validate: ((value: T, context: PoolContext) => unknown) | undefined;
  readonly recycle: ((value: T, context: PoolContext) => unknown) | undefined;
  readonly freshMs: number;
  readonly validateIdleMs: number;
  readonly acquireTimeoutMs: number;
  readonly createTimeoutMs: number;
  readonly validateTimeoutMs: number;
  readonly destroyTimeoutMs: number;
  readonly pauseMs: (attempt: number, previousMs?: number) => number;
  /** Whether callers are refused with an error of creating. */
  readonly failsFast: (error: unknown) => boolean;
  readonly maxWaiters: number;
  readonly idleTimeoutMs: number;
  readonly maxLifetimeMs: number;
  readonly lifetimeJitter: number;
  readonly maxUses: number;
  readonly leakAfterMs: number;
  /** Whether anything depends on when a resource was used, so that the clock has to be read: it is dear. */
  readonly timed: boolean;
}

/** Checks what all pools have in common, and completes it. */
export function settingsOf<T>(
  options: PoolBehaviour<T>,
  create: PoolSettings<T>["create"],
): PoolSettings<T> {
  const what = subject("pool", options.name);
  const doing = `create ${what}`;
  for (const name of ["destroy", "validate", "recycle"] as const) {
    if (options[name] !== undefined) checkFunction(doing, name, options[name]);
  }
  const duration = (name: keyof PoolBehaviour<T>, or: number): number => {
    const value = options[name] === undefined ? or : options[name];
    checkDurationMs(doing, name, value);
    return value as number;
  };
  const limit = (name: keyof PoolBehaviour<T>, or: number): number => {
    const value = duration(name, or);
    if (value === 0) throw new RangeError(`Cannot ${doing} as ${name} must be > 0: received 0`);
    return value;
  };
  const destroyTimeoutMs = limit("destroyTimeoutMs", EXIT_TIMEOUT_MS);
  if (destroyTimeoutMs === Infinity) {
    throw new RangeError(`Cannot ${doing} as destroyTimeoutMs must be finite: received Infinity`);
  }
  const { failFast = false, maxWaiters = Infinity, maxUses = Infinity, lifetimeJitter = 0.1 } = options;
  if (typeof failFast !== "boolean") checkFunction(doing, "failFast", failFast);
  checkCount(doing, "maxWaiters", maxWaiters, 0);
  checkCount(doing, "maxUses", maxUses, 1);
  checkFinite(doing, "lifetimeJitter", lifetimeJitter, 0);
  if (lifetimeJitter > 1) {
    throw new RangeError(`Cannot ${doing} as lifetimeJitter must be at most 1: received ${lifetimeJitter}`);
  }
  const [idleTimeoutMs, maxLifetimeMs] = [limit("idleTimeoutMs", Infinity), limit("maxLifetimeMs", Infinity)];
  return {
    name: options.name,
    what,
    create,
    destroy: options.destroy === undefined ? dispose : (value, context) => options.destroy!(value, context),
    validate: options.validate === undefined ? undefined : (value, it) => options.validate!(value, it),
    recycle: options.recycle === undefined ? undefined : (value, it) => options.recycle!(value, it),
    freshMs: duration("freshMs", 500),
    validateIdleMs: limit("validateIdleMs", Infinity),
    acquireTimeoutMs: duration("acquireTimeoutMs", 30_000),
    createTimeoutMs: limit("createTimeoutMs", 30_000),
    validateTimeoutMs: limit("validateTimeoutMs", 5_000),
    destroyTimeoutMs,
    pauseMs: backoffOf(doing, options.backoff, "backoff."),
    failsFast: typeof failFast === "boolean" ? () => failFast : (error) => judge(failFast, error),
    maxWaiters,
    idleTimeoutMs,
    maxLifetimeMs,
    lifetimeJitter,
    maxUses,
    leakAfterMs: limit("leakAfterMs", Infinity),
    timed: idleTimeoutMs !== Infinity || maxLifetimeMs !== Infinity || options.validate !== undefined,
  };
}

/** Checks the object that options are, and its name, before anything is said about it. */
export function checkPoolOptions(options: unknown): asserts options is { readonly name?: string } {
  checkOptions("create pool", options ?? null);
  checkName("create pool", (options as { readonly name?: unknown }).name);
}

/** Checks how many a pool may have. */
export function checkMax(doing: string, max: unknown, least: number): void {
  checkInteger(doing, "max", max, least);
}

/** A judge that fails has seen nothing that would pass. */
function judge(failFast: (error: unknown) => boolean, error: unknown): boolean {
  try {
    return failFast(error);
  } catch {
    return true;
  }
}

function dispose(value: unknown): unknown {
  const it = value as Partial<AsyncDisposable & Disposable> | null | undefined;
  if (typeof it?.[Symbol.asyncDispose] === "function") return it[Symbol.asyncDispose]!();
  return it?.[Symbol.dispose]?.();
}
