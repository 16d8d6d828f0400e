import {
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type Linked, LinkedList } from "../kernel/linked_list.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import type { CircuitBreakerOptions } from "./circuit_breaker_options.ts";
import type { CallContext, Run } from "./policy.ts";

/** Options of a {@linkcode KeyedCircuitBreaker}: those of each breaker, and how long breakers are kept. */
export interface KeyedCircuitBreakerOptions extends CircuitBreakerOptions {
  /** A breaker that was not used for so many milliseconds is forgotten. Default 600,000. */
  idleMs?: number | undefined;
  /** How many breakers there are at most; the one not used for longest is forgotten first. Default 10,000. */
  maxKeys?: number | undefined;
}

/** What an operator wants to know of a {@linkcode KeyedCircuitBreaker}. */
export interface KeyedCircuitBreakerStatistics {
  /** Keys with a breaker. */
  readonly keys: number;
  /** Keys whose breaker refuses calls. */
  readonly open: readonly string[];
}

/** One breaker in the line of all, in the order of use: a `Map` is slow at giving its first when many were deleted. */
interface Kept extends Linked<Kept> {
  readonly key: string;
  readonly breaker: CircuitBreaker;
  usedMs: number;
}

/**
 * A circuit breaker for each key, so that one bad host of ten is not held against the others.
 *
 * Breakers are made when first used and named `name/key`. **Forgetting** — a breaker that was not used for `idleMs`, is
 * not open and has no call under way is forgotten, when others are used: there are no timers. Beyond `maxKeys` the one
 * not used for longest goes, whatever its state.
 *
 * @example
 * ```ts
 * import { CircuitOpenError, KeyedCircuitBreaker } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const hosts = new KeyedCircuitBreaker({ name: "shard", failures: 1 });
 * const down = () => Promise.reject(new Error("down"));
 * await assert.rejects(hosts.run(down, { key: "a" }), { message: "down" });
 * await assert.rejects(hosts.run(down, { key: "a" }), CircuitOpenError);
 * assert.deepEqual(await hosts.run(() => "fine", { key: "b" }), "fine");
 * assert.deepEqual(hosts.statistics().open, ["a"]);
 * ```
 */
export class KeyedCircuitBreaker implements Run<CallContext> {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #options: CircuitBreakerOptions;
  readonly #idleMs: number;
  readonly #maxKeys: number;
  readonly #kept = new Map<string, Kept>();
  /** The one not used for longest first. */
  readonly #line = new LinkedList<Kept>();
  /** Which one is looked at next when looking for idle ones. */
  #looking: Kept | undefined;

  /**
   * Creates it without any breakers.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: KeyedCircuitBreakerOptions = {}) {
    checkOptions("create keyed circuit breaker", options ?? null);
    const { idleMs = 600_000, maxKeys = 10_000, ...rest } = options;
    // What is wrong with the rest is told now, not at the first call.
    const { name } = new CircuitBreaker(rest);
    const doing = `create ${subject("keyed circuit breaker", name)}`;
    checkDurationMs(doing, "idleMs", idleMs);
    checkInteger(doing, "maxKeys", maxKeys, 1);
    this.name = name;
    this.#options = { ...rest };
    this.#idleMs = idleMs;
    this.#maxKeys = maxKeys;
  }

  /** The breaker of a key, made now if there is none. Don't keep it: it may be forgotten here. */
  of(key: string): CircuitBreaker {
    if (typeof key !== "string") {
      throw new TypeError(
        `Cannot call through ${
          subject("keyed circuit breaker", this.name)
        } as key must be a string: received ${show(key)}`,
      );
    }
    const nowMs = clock().now();
    let kept = this.#kept.get(key);
    if (kept === undefined) {
      this.#sweep(nowMs);
      const name = this.name === undefined ? key : `${this.name}/${key}`;
      const breaker = new CircuitBreaker({ ...this.#options, name });
      kept = { key, breaker, usedMs: nowMs, prev: undefined, next: undefined };
      this.#kept.set(key, kept);
    } else this.#leave(kept);
    kept.usedMs = nowMs;
    this.#line.add(kept);
    return kept.breaker;
  }

  /**
   * Runs `fn` through the breaker of `key`; see `CircuitBreaker.run`.
   *
   * @throws {TypeError} When there is no `key`.
   */
  run<T>(
    fn: (context: CallContext) => T | PromiseLike<T>,
    options?: WaitOptions & { key?: string | undefined },
  ): Promise<T> {
    try {
      checkFunction(`call through ${subject("keyed circuit breaker", this.name)}`, "fn", fn);
      const { key, signal, timeoutMs } = options ?? {};
      const breaker = this.of(key as string);
      return breaker.run(
        fn,
        signal === undefined && timeoutMs === undefined ? undefined : { signal, timeoutMs },
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** A snapshot of the keys. */
  statistics(): KeyedCircuitBreakerStatistics {
    const open: string[] = [];
    for (let kept = this.#line.first; kept !== undefined; kept = kept.next) {
      const { state } = kept.breaker;
      if (state === "open" || state === "isolated") open.push(kept.key);
    }
    return Object.freeze({ keys: this.#kept.size, open: Object.freeze(open) });
  }

  /** Makes room for a new one, and looks at two old ones: it keeps up, and no call pays for many. */
  #sweep(nowMs: number): void {
    for (let looked = 0; looked < 2; looked++) {
      const kept = this.#looking ?? this.#line.first;
      // Those behind it were used later still. The ones before it that are not idle are looked at again then.
      if (kept === undefined || nowMs - kept.usedMs < this.#idleMs) {
        this.#looking = undefined;
        break;
      }
      this.#looking = kept.next;
      if (isIdle(kept.breaker)) this.#forget(kept);
    }
    if (this.#kept.size >= this.#maxKeys) this.#forget(this.#line.first!);
  }

  #forget(kept: Kept): void {
    this.#kept.delete(kept.key);
    this.#leave(kept);
  }

  #leave(kept: Kept): void {
    if (this.#looking === kept) this.#looking = kept.next;
    this.#line.remove(kept);
  }
}

function isIdle(breaker: CircuitBreaker): boolean {
  const { state, running } = breaker.statistics();
  return running === 0 && (state === "closed" || state === "halfOpen");
}
