/** What a policy is, for those who put several together. */
import type { WaitOptions } from "../kernel/types.ts";
import type { RetryBudget } from "./retry_budget.ts";

/** A `Run`, which can't be imported here: `transformer` notes what it makes. */
export interface Runs {
  // deno-lint-ignore no-explicit-any
  run<T>(fn: (context: any) => T | PromiseLike<T>, options?: WaitOptions): Promise<T>;
}

/** What kind of policy it is. */
export type LayerKind =
  | "fallback"
  | "timeout"
  | "cache"
  | "rate limiter"
  | "limiter"
  | "retry"
  | "circuit breaker"
  | "hedge"
  | "policy"
  | "other";

/** The facts of a policy. */
export interface Layer {
  readonly kind: LayerKind;
  readonly name?: string | undefined;
  /** The limit it puts on what is inside, in milliseconds, if it has a fixed one. */
  readonly limitMs?: number | undefined;
  readonly budget?: RetryBudget | undefined;
  /** The same policy, for calls that have been paid for. */
  readonly paid?: Runs | undefined;
  /** What it is put together from. */
  readonly layers?: readonly Runs[] | undefined;
}

const layers = new WeakMap<object, Layer>();
const origins = new WeakMap<object, object>();

/** Notes the facts of a policy that is no object of a class. */
export function noteLayer<P extends object>(policy: P, layer: Layer): P {
  layers.set(policy, layer);
  return policy;
}

/** Notes that a policy is only another face of `origin`. */
export function noteOrigin(policy: object, origin: object): void {
  origins.set(policy, origin);
}

/** The policy itself, behind other faces of it. */
export function originOf(policy: object): object {
  let at = policy;
  for (let next = origins.get(at); next !== undefined; next = origins.get(at)) at = next;
  return at;
}

/** The facts of a policy: noted ones, or else by what it can do, so that no class has to be loaded to be told. */
export function layerOf(policy: object): Layer {
  let noted = layers.get(policy);
  for (let at = origins.get(policy); noted === undefined && at !== undefined; at = origins.get(at)) {
    noted = layers.get(at);
  }
  if (noted !== undefined) return noted;
  const origin = originOf(policy) as Record<string, unknown>;
  const can = (...methods: string[]): boolean =>
    methods.every((method) => typeof origin[method] === "function");
  const name = typeof origin["name"] === "string" && typeof origin !== "function"
    ? origin["name"]
    : undefined;
  if (can("forceOpen", "isolate") || (can("of") && !can("get"))) return { kind: "circuit breaker", name };
  if (can("waitMs", "pauseFor")) return { kind: "rate limiter", name };
  if (can("resize", "onIdle")) return { kind: "limiter", name };
  if (can("get", "peek")) return { kind: "cache", name };
  return { kind: "other", name };
}
