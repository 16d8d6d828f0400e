/** Several policies as one. */
import { checkFunction, checkOptions, show } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";
import { emit } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { layerOf, noteLayer, noteOrigin, originOf } from "./_layer.ts";
import { warningsOf } from "./_policy_order.ts";
import { signalToPass } from "./_work.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import { type CallContext, type Policy, type Run, transform, transformerBy } from "./policy.ts";

/** What work inside of several policies gets to know; the same, whichever they are. */
export interface PolicyContext extends CallContext {
  /** Which attempt of the innermost `retry` it is, from 1; 1 without one. */
  readonly attempt: number;
  /** Which of the attempts side by side it is, from 1; 1 without a `hedge`. */
  readonly hedge: number;
  /** What the attempt before failed with; `undefined` in the first. */
  readonly lastError: unknown;
  /** Milliseconds since the call began, the time in line and all attempts included. */
  readonly elapsedMs: number;
  /** What is left until the earliest deadline, in milliseconds; `Infinity` without one. */
  readonly remainingMs: number;
  /** For whom the call is, as its options said. */
  readonly key: string | undefined;
  /** From here on this attempt can't be repeated: if it fails, `retry` fails. */
  commit(): void;
}

/** Options of a call through a {@linkcode Pipeline}; each policy heeds those that it knows. */
export interface PipelineRunOptions extends WaitOptions {
  /** For whom the call is, such as a user: to limiters, rate limiters and circuit breakers by key. */
  key?: string | undefined;
  /** What the call asks for: its key in a cache, of the type that the cache takes. Has to be given if there is one. */
  cacheKey?: unknown | undefined;
  /** How important the call is, to those who let calls wait. */
  priority?: number | undefined;
  /** How much the call takes, from limiters and rate limiters. */
  weight?: number | undefined;
}

/** Whatever can be part of a {@linkcode Pipeline}: what has `run`, or a cache. */
// deno-lint-ignore no-explicit-any
export type PolicyPart = Run<any> | CachePart;

/** A cache, as far as a {@linkcode Pipeline} uses it: an `AsyncCache`. */
export interface CachePart {
  /** The value of a key, loaded if it is not there. */
  // deno-lint-ignore no-explicit-any
  get(key: any, load: (key: any, context: CallContext) => any, options?: WaitOptions): Promise<any>;
}

/** Several policies as one; made by {@linkcode policy}. */
export interface Pipeline extends Policy<PolicyContext> {
  /** Runs `fn` under all policies; see `policy`. */
  run<T>(fn: (context: PolicyContext) => T | PromiseLike<T>, options?: PipelineRunOptions): Promise<T>;
  /** Like {@linkcode run}, but never rejects: tells how the call ended. */
  outcome<T>(
    fn: (context: PolicyContext) => T | PromiseLike<T>,
    options?: PipelineRunOptions,
  ): Promise<Outcome<T>>;
  /**
   * Makes a transformer, and decorator, whose calls say of themselves what a function makes of their arguments: what they
   * ask for, for whom they are, how important they are.
   *
   * @param options Called on the object and with the arguments of each call.
   *
   * @example
   * ```ts
   * import { AsyncCache, policy, retry } from "@uno/async/flow";
   * import assert from "node:assert/strict";
   *
   * const careful = policy(new AsyncCache<number, string>({ ttlMs: 60_000 }), retry());
   * let asked = 0;
   * const nameOf = careful.by((id: number) => ({ cacheKey: id }))(async (id: number) => {
   *   asked++;
   *   return await Promise.resolve(`user ${id}`);
   * });
   * assert.deepEqual([await nameOf(1), await nameOf(1), asked], ["user 1", "user 1", 1]);
   * ```
   */
  // deno-lint-ignore no-explicit-any
  by<A extends any[]>(options: (...args: A) => PipelineCallOptions): PolicyBy<A>;
  /** What can't have been meant in this order of policies, in words; empty when all fits. */
  readonly warnings: readonly string[];
  /** The numbers of its policies, from the outermost to the innermost. */
  statistics(): readonly PartStatistics[];
}

/** What {@linkcode Pipeline.by} makes of the arguments of a call; its signal comes with them. */
export type PipelineCallOptions = Omit<PipelineRunOptions, "signal">;

/** What {@linkcode Pipeline.by} gives: transforms functions, and decorates methods, that take such arguments. */
// deno-lint-ignore no-explicit-any
export type PolicyBy<A extends any[]> = <F extends (this: any, ...args: A) => Promise<unknown>>(
  fn: F,
  context?: ClassMethodDecoratorContext,
) => F;

/** The numbers of one policy of a {@linkcode Pipeline}. */
export interface PartStatistics {
  /** What it is, such as `retry`; `other` when that is not known. */
  readonly kind: string;
  /** Its name, if it has one. */
  readonly name: string | undefined;
  /** What its own `statistics()` gives; `undefined` when it has none. */
  readonly statistics: object | undefined;
}

/** What a policy's context may say. */
type Said = Partial<PolicyContext> | null | undefined;

/** One policy of a pipeline. */
interface Part {
  readonly policy: Run<Said>;
  /** Whether its attempts run side by side. */
  readonly hedges: boolean;
  /** Whether it tells how long a call has taken. */
  readonly tells: boolean;
}

/** A call on its way through all policies. */
interface Passage {
  readonly parts: readonly Part[];
  readonly fn: (context: PolicyContext) => unknown;
  readonly options: PipelineRunOptions | undefined;
  /** NaN when the outermost policy tells how long the call has taken. */
  readonly startedMs: number;
}

/** What one policy has said of a call, and those around it. Attempts run side by side, so paths fork. */
interface Path {
  readonly outer: Path | undefined;
  readonly said: Said;
  readonly hedges: boolean;
}

class Context implements PolicyContext {
  readonly #path: Path;
  readonly #passage: Passage;

  constructor(path: Path, passage: Passage) {
    this.#path = path;
    this.#passage = passage;
  }

  get signal(): AbortSignal {
    const said = this.#find((said) => said?.signal);
    // No policy of ours leaves it out; for others, one that nobody aborts.
    return said ?? this.#passage.options?.signal ?? new AbortController().signal;
  }

  get attempt(): number {
    return this.#find((said, hedges) => hedges ? undefined : said?.attempt) ?? 1;
  }

  get hedge(): number {
    return this.#find((said, hedges) => hedges ? said?.attempt : undefined) ?? 1;
  }

  get lastError(): unknown {
    return this.#find((said) => said?.lastError);
  }

  get elapsedMs(): number {
    const { startedMs } = this.#passage;
    if (!Number.isNaN(startedMs)) return clock().now() - startedMs;
    let at = this.#path;
    while (at.outer !== undefined) at = at.outer;
    return at.said!.elapsedMs!;
  }

  get remainingMs(): number {
    return Math.max(0, deadlineOf(this.signal) - clock().now());
  }

  get key(): string | undefined {
    return this.#passage.options?.key;
  }

  commit(): void {
    for (let at: Path | undefined = this.#path; at !== undefined; at = at.outer) at.said?.commit?.();
  }

  /** From the inside out, the first that says something. */
  #find<V>(look: (said: Said, hedges: boolean) => V | undefined): V | undefined {
    for (let at: Path | undefined = this.#path; at !== undefined; at = at.outer) {
      const found = look(at.said, at.hedges);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

function enter(
  passage: Passage,
  index: number,
  outer: Path | undefined,
  options: PipelineRunOptions | undefined,
): Promise<unknown> {
  const { policy, hedges } = passage.parts[index]!;
  return policy.run((said) => {
    const path = { outer, said, hedges };
    return index + 1 === passage.parts.length
      ? passage.fn(new Context(path, passage))
      : enter(passage, index + 1, path, inside(said, options?.signal, passage.options));
  }, options);
}

/** The options for the policy inside: the limit has been seen to. */
function inside(
  said: Said,
  given: AbortSignal | undefined,
  options: PipelineRunOptions | undefined,
): PipelineRunOptions | undefined {
  const signal = signalToPass(said, given);
  if (options === undefined) return signal && { signal };
  const { timeoutMs: _, signal: __, ...rest } = options;
  if (signal !== undefined) return { ...rest, signal };
  for (const name in rest) if (rest[name as keyof typeof rest] !== undefined) return rest;
  return undefined;
}

/**
 * Puts policies together, from the outermost to the innermost: `policy.run(fn)`, `policy(fn)`, or `@policy` on a method.
 *
 * **Order** — recommended, outer to inner: `fallback`, `timeoutHandler` for the whole, cache, rate limiter, limiter or
 * bulkhead, `retry`, circuit breaker, `hedge`, `timeoutHandler` for each attempt. A breaker inside of `retry` counts
 * attempts, one outside counts calls. What can't have been meant stands in `warnings` and is told to the observer.
 * **Context** — one for all: the work sees the innermost signal, the earliest deadline, the number of the attempt.
 * **Sharing** — a policy that is part of several pipelines is one and the same in all of them; calls share nothing else.
 * **Budget** — of a budget that several policies share, each call pays into it once. **Abort, time** — as of the
 * policies: a signal, a limit, and what all of them say of it reach the work as one signal.
 *
 * @param policies What has `run`: policies, limiters, breakers, other pipelines; or an `AsyncCache`, which is asked for
 * the `cacheKey` of the call. Functions are put under a pipeline with a cache, or with breakers by key, by
 * {@linkcode Pipeline.by}.
 * @throws {TypeError} When there is none, or one is no policy.
 *
 * @example
 * ```ts
 * import { CircuitBreaker, policy, retry, timeoutHandler } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const careful = policy(
 *   timeoutHandler(10_000),
 *   retry({ attempts: 3, baseMs: 1 }),
 *   new CircuitBreaker({ name: "billing" }),
 *   timeoutHandler(2_000),
 * );
 * assert.deepEqual(careful.warnings, []);
 * const answer = await careful.run(async ({ attempt, remainingMs, signal }) => {
 *   signal.throwIfAborted();
 *   if (attempt === 1) throw new Error("connection reset");
 *   return await Promise.resolve({ attempt, hasTime: remainingMs > 1_000 });
 * });
 * assert.deepEqual(answer, { attempt: 2, hasTime: true });
 * ```
 */
export function policy(...policies: PolicyPart[]): Pipeline {
  const layers = policies.flatMap((part, i) => layersOf(part, i));
  if (layers.length === 0) {
    throw new TypeError("Cannot create policy as policies must be given: received none");
  }
  const warnings = warningsOf(layers);
  for (const message of warnings) emit("policy.warning", "policy", undefined, { message });
  const parts = partsOf(layers);
  const run = <T>(
    fn: (context: PolicyContext) => T | PromiseLike<T>,
    options?: PipelineRunOptions,
  ): Promise<T> => {
    if (typeof fn !== "function") return rejectWith(() => checkFunction("run policy", "fn", fn));
    if (options !== undefined && (typeof options !== "object" || options === null)) {
      return rejectWith(() => checkOptions("run policy", options ?? null));
    }
    const startedMs = parts[0]!.tells ? NaN : clock().now();
    return enter({ parts, fn, options, startedMs }, 0, undefined, options) as Promise<T>;
  };
  const lacking = lackingKey(layers);
  const whole: Run<PolicyContext> = { run };
  const pipeline = Object.assign(transformerBy(whole, () => (refuseKeyless(lacking), whole)), {
    run,
    // deno-lint-ignore no-explicit-any
    by: <A extends any[]>(options: (...args: A) => PipelineCallOptions): PolicyBy<A> => {
      checkFunction("transform by policy", "options", options);
      return (fn, context) =>
        transform<PolicyContext, typeof fn>(fn, context, async (work, given, self, args) => {
          const own = options.apply(self, args as A);
          checkOptions("run policy", own ?? null);
          return await run(work, { ...own, ...given });
        });
    },
    outcome: <T>(
      fn: (context: PolicyContext) => T | PromiseLike<T>,
      options?: PipelineRunOptions,
    ): Promise<Outcome<T>> => outcomeOf(run(fn, options), options?.signal),
    warnings,
    statistics: () => Object.freeze(layers.map(statisticsOf)),
  });
  return noteLayer(pipeline, { kind: "policy", layers });
}

function rejectWith(check: () => void): Promise<never> {
  return new Promise((_, reject) => {
    check();
    reject();
  });
}

/** The layers of what may be a pipeline itself. */
function layersOf(part: PolicyPart, index: number): readonly Run<Said>[] {
  const it = part as Partial<Run<Said> & CachePart> | null | undefined;
  const isObject = (typeof it === "object" || typeof it === "function") && it !== null;
  if (isObject && typeof it.run === "function") return layerOf(it).layers ?? [it as Run<Said>];
  if (isObject && typeof it.get === "function") return [throughCache(it as CachePart)];
  throw new TypeError(`Cannot create policy as policies[${index}] must have run: received ${show(part)}`);
}

function throughCache(cache: CachePart): Run<Said> {
  const run: Run<Said>["run"] = async (fn, options: PipelineRunOptions = {}) => {
    const { cacheKey, signal, timeoutMs } = options;
    if (cacheKey === undefined) {
      throw new TypeError("Cannot run policy as cacheKey must be given, for its cache: received undefined");
    }
    const bounds = signal === undefined && timeoutMs === undefined ? undefined : { signal, timeoutMs };
    return await cache.get(cacheKey, (_, context) => fn(context), bounds);
  };
  const part = { run };
  noteOrigin(part, cache);
  return noteLayer(part, { ...layerOf(cache), kind: "cache" });
}

/** The option without which no call gets through. */
function lackingKey(layers: readonly Run<Said>[]): "key" | "cacheKey" | undefined {
  for (const layer of layers) {
    const { kind } = layerOf(layer);
    if (kind === "cache") return "cacheKey";
    if (kind === "circuit breaker" && typeof (originOf(layer) as { of?: unknown }).of === "function") {
      return "key";
    }
  }
  return undefined;
}

function refuseKeyless(lacking: "key" | "cacheKey" | undefined): void {
  if (lacking === undefined) return;
  throw new TypeError(
    `Cannot transform by policy as ${lacking} must be made of each call's arguments, by policy.by(…): received none`,
  );
}

function statisticsOf(policy: Run<Said>): PartStatistics {
  const { kind, name } = layerOf(policy);
  const counting = [policy, originOf(policy)] as { statistics?: () => object }[];
  const counts = counting.find((one) => typeof one.statistics === "function");
  const statistics = counts?.statistics?.();
  return Object.freeze({ kind, name, statistics });
}

/** What does the work, without the other faces it was given. */
function behind(policy: Run<Said>): Run<Said> {
  const origin = originOf(policy) as Run<Said>;
  return typeof origin.run === "function" ? origin : policy;
}

/** Of several policies with one budget, the outermost pays for all. */
function partsOf(layers: readonly Run<Said>[]): readonly Part[] {
  const paying = new Set<object>();
  return layers.map((policy) => {
    const { kind, budget, paid } = layerOf(policy);
    const isPaid = budget !== undefined && paying.has(budget);
    if (budget !== undefined) paying.add(budget);
    const hedges = kind === "hedge";
    return { policy: isPaid ? paid! : behind(policy), hedges, tells: hedges || kind === "retry" };
  });
}
