/** Rates that are exceeded. */
import { RateLimiter } from "../../../src/flow/rate_limiter.ts";
import type { RateLimiterAlgorithm } from "../../../src/flow/rate_limiter_options.ts";
import { type Fault, turn } from "../_faults.ts";
import { ours, theirs } from "../_rows.ts";

/** Lets a call through at once, or not. */
type Take = () => boolean | Promise<boolean>;

interface LimiterModule {
  RateLimiter: new (options: { tokensPerInterval: number; interval: number }) => {
    tryRemoveTokens(count: number): boolean;
  };
}
interface FlexibleModule {
  default: {
    RateLimiterMemory: new (options: { points: number; duration: number }) => {
      consume(key: string): Promise<unknown>;
    };
  };
}
interface QueueModule {
  default: new (options: { intervalCap: number; interval: number; strict?: boolean }) => {
    add<T>(fn: () => T): Promise<T>;
    clear(): void;
  };
}

function viaOurs(limit: number, intervalMs: number, algorithm?: RateLimiterAlgorithm): Take {
  const limiter = new RateLimiter({ limit, intervalMs, algorithm });
  return () => limiter.tryAcquire();
}

function viaLimiter({ RateLimiter }: LimiterModule, limit: number, intervalMs: number): Take {
  const limiter = new RateLimiter({ tokensPerInterval: limit, interval: intervalMs });
  return () => limiter.tryRemoveTokens(1);
}

function viaFlexible(
  { default: { RateLimiterMemory } }: FlexibleModule,
  limit: number,
  intervalMs: number,
): Take {
  const limiter = new RateLimiterMemory({ points: limit, duration: intervalMs / 1_000 });
  return () => limiter.consume("key").then(() => true, () => false);
}

function viaQueue({ default: PQueue }: QueueModule, limit: number, intervalMs: number, strict = false): Take {
  const queue = new PQueue({ intervalCap: limit, interval: intervalMs, strict });
  return async () => {
    let ran = false;
    queue.add(() => ran = true).catch(() => {});
    await turn(1);
    if (!ran) queue.clear();
    return ran;
  };
}

async function letThrough(take: Take, calls: number): Promise<number> {
  const taken = await Promise.all(Array.from({ length: calls }, () => take()));
  return taken.filter(Boolean).length;
}

async function aroundTheEnd(take: Take): Promise<number> {
  await letThrough(take, 1);
  await turn(180);
  const before = await letThrough(take, 4);
  await turn(25);
  return before + await letThrough(take, 5);
}

const twice: Fault<number> = {
  name: "nearly twice the limit around the end of a window",
  scene: "5 calls in 200 ms. One call, 180 ms later four, 25 ms after those five more.",
  right: "Of the last nine, which come within 30 ms, no more than 5 are let through at once.",
  tell: (through) => `${through} are let through`,
  wrong: (through) => through > 5,
  cast: [
    ours(() => aroundTheEnd(viaOurs(5, 200))),
    ours(() => aroundTheEnd(viaOurs(5, 200, "slidingLog")), "slidingLog"),
    theirs(
      "rate-limiter-flexible",
      (module: FlexibleModule) => () => aroundTheEnd(viaFlexible(module, 5, 200)),
    ),
    theirs("p-queue", (module: QueueModule) => () => aroundTheEnd(viaQueue(module, 5, 200)), "intervalCap"),
    theirs("p-queue", (module: QueueModule) => () => aroundTheEnd(viaQueue(module, 5, 200, true)), "strict"),
    theirs("limiter", (module: LimiterModule) => () => aroundTheEnd(viaLimiter(module, 5, 200))),
  ],
};

const MONTH_MS = 30 * 24 * 3_600_000;

/** How many are let through, or how such an interval is refused. */
async function inAMonth(make: () => Take): Promise<number | string> {
  let take: Take;
  try {
    take = make();
  } catch (error) {
    return (error as Error).message;
  }
  const first = await letThrough(take, 1);
  await turn(60);
  return first + await letThrough(take, 1);
}

const month: Fault<number | string> = {
  name: "an interval of 30 days lasts a moment",
  scene: "One call in 30 days, which is more than the platform's timers can take; a second call 60 ms later.",
  right: "One is let through, or such an interval is refused.",
  tell: (seen) => typeof seen === "string" ? `refused: ${seen}` : `let through: ${seen}`,
  wrong: (seen) => typeof seen === "number" && seen !== 1,
  cast: [
    ours(() => inAMonth(() => viaOurs(1, MONTH_MS))),
    theirs(
      "rate-limiter-flexible",
      (module: FlexibleModule) => () => inAMonth(() => viaFlexible(module, 1, MONTH_MS)),
    ),
    theirs(
      "p-queue",
      (module: QueueModule) => () => inAMonth(() => viaQueue(module, 1, MONTH_MS)),
      "intervalCap",
    ),
    theirs("limiter", (module: LimiterModule) => () => inAMonth(() => viaLimiter(module, 1, MONTH_MS))),
  ],
};

/** The scenes of this file. */
export const faults: readonly Fault<unknown>[] = [twice, month];
