/** Which orders of policies can't have been meant, and why. */
import { subject } from "../kernel/checks.ts";
import { type Layer, layerOf, originOf } from "./_layer.ts";

/** In words, what does not fit in this order, from the outermost to the innermost; empty when all does. */
export function warningsOf(policies: readonly object[]): readonly string[] {
  const layers = policies.map((policy) => layerOf(policy));
  const warnings: string[] = [];
  layers.forEach((inner, i) => {
    const isSame = (j: number): boolean => originOf(policies[j]!) === originOf(policies[i]!);
    const outers = layers.slice(0, i);
    if (outers.some((_, j) => isSame(j))) warnings.push(twice(inner));
    for (const [j, outer] of outers.entries()) {
      if (isSame(j)) continue;
      const why = misfit(inner, outer);
      if (why !== undefined) warnings.push(`${describe(inner)} stands inside ${describe(outer)}: ${why}`);
    }
    if (inner.kind === "circuit breaker" && isNeverTold(outers, layers.slice(i + 1))) {
      warnings.push(
        `${
          describe(inner)
        } has a time limit outside only: calls that hang are given up and never counted as failures`,
      );
    }
  });
  return Object.freeze(warnings);
}

function describe({ kind, name }: Layer): string {
  return subject(kind, name);
}

function twice(layer: Layer): string {
  const why = layer.kind === "limiter"
    ? "a call that holds its last slot waits for itself for ever"
    : "each call goes through it again";
  return `${describe(layer)} stands inside itself: ${why}`;
}

/** What is wrong with one policy inside of another. */
function misfit(inner: Layer, outer: Layer): string | undefined {
  switch (inner.kind) {
    case "fallback":
      if (outer.kind === "retry") return "what it makes good is never tried again";
      if (outer.kind === "hedge") return "what it makes good is never tried at once elsewhere";
      if (outer.kind === "circuit breaker") return "what it makes good is never counted as a failure";
      break;
    case "retry":
      if (outer.kind === "retry") return "their attempts multiply";
      if (outer.kind === "hedge") return "each attempt beside another one is retried by itself";
      break;
    case "cache":
      if (outer.kind === "rate limiter" || outer.kind === "limiter") {
        return "what it has waits for a turn all the same";
      }
      if (outer.kind === "circuit breaker") return "what it has counts as an answer of the service";
      if (outer.kind === "hedge") return "all attempts wait for the same load";
      break;
    case "rate limiter":
      if (outer.kind === "limiter") return "slots are held while calls wait for a turn";
      if (outer.kind === "circuit breaker") return "what it refuses counts as a failure of the service";
      break;
    case "limiter":
      if (outer.kind === "circuit breaker") return "what it refuses counts as a failure of the service";
      break;
    default:
      break;
  }
  const { limitMs } = inner;
  if (limitMs === undefined || outer.limitMs === undefined || outer.limitMs > limitMs) return undefined;
  return `its limit of ${limitMs} ms is never reached within one of ${outer.limitMs} ms`;
}

/** Whether calls can be ended by a limit around a circuit breaker, and by none inside of it. */
function isNeverTold(outers: readonly Layer[], inners: readonly Layer[]): boolean {
  const limits = (layer: Layer): boolean => layer.kind === "timeout" || layer.limitMs !== undefined;
  return outers.some(limits) && !inners.some(limits);
}
