/** Retries and limits in time that do not hear an abort, or make up one. */
import { timeout } from "../../../src/cancel/timeout.ts";
import { retry } from "../../../src/flow/retry.ts";
import { type Fault, turn } from "../_faults.ts";
import { ours, theirs } from "../_rows.ts";

interface RetryModule {
  default: <T>(
    fn: (attempt: number) => Promise<T>,
    options: { retries: number; minTimeout: number; signal?: AbortSignal },
  ) => Promise<T>;
}
interface CockatielModule {
  handleAll: unknown;
  ConstantBackoff: new (ms: number) => unknown;
  retry(what: unknown, options: { maxAttempts: number; backoff: unknown }): {
    execute<T>(fn: (context: { signal: AbortSignal }) => Promise<T>, signal?: AbortSignal): Promise<T>;
  };
  timeout(ms: number, strategy: string): {
    execute<T>(fn: (context: { signal: AbortSignal }) => Promise<T>): Promise<T>;
  };
}

type Retried = (fn: () => Promise<unknown>, pauseMs: number, signal?: AbortSignal) => Promise<unknown>;

const viaOurs: Retried = (fn, pauseMs, signal) =>
  retry({ attempts: 3, kind: "constant", baseMs: pauseMs, maxMs: pauseMs, jitter: "none" }).run(fn, {
    signal,
  });

function viaRetry({ default: pRetry }: RetryModule): Retried {
  return (fn, pauseMs, signal) => pRetry(fn, { retries: 2, minTimeout: pauseMs, signal });
}

function viaCockatiel({ retry, handleAll, ConstantBackoff }: CockatielModule): Retried {
  return (fn, pauseMs, signal) =>
    retry(handleAll, { maxAttempts: 2, backoff: new ConstantBackoff(pauseMs) }).execute(fn, signal);
}

interface Ending {
  readonly ms: number;
  readonly calls: number;
}

async function abortInPause(retried: Retried): Promise<Ending> {
  const controller = new AbortController();
  let calls = 0;
  const failing = (): Promise<never> => (calls++, Promise.reject(new Error("no")));
  const ended = retried(failing, 120, controller.signal).catch(() => {});
  await turn(30);
  const from = performance.now();
  controller.abort(new Error("stop"));
  await ended;
  return { ms: performance.now() - from, calls };
}

const deafPause: Fault<Ending> = {
  name: "an abort during the pause is not heard",
  scene: "A first attempt fails, the pause takes 120 ms, the signal is aborted 30 ms into it.",
  right: "The caller is rejected at once, and there is no other attempt.",
  tell: ({ ms, calls }) =>
    `rejected after ${ms.toFixed(0)} ms, ${calls} ${calls === 1 ? "attempt" : "attempts"}`,
  wrong: ({ ms, calls }) => ms > 50 || calls > 1,
  cast: [
    ours(() => abortInPause(viaOurs)),
    theirs("cockatiel", (module: CockatielModule) => () => abortInPause(viaCockatiel(module))),
    theirs("p-retry", (module: RetryModule) => () => abortInPause(viaRetry(module))),
  ],
};

async function abortInAttempt(retried: Retried): Promise<number> {
  const controller = new AbortController();
  const ended = retried(() => turn(300), 10, controller.signal).catch(() => {});
  await turn(30);
  const from = performance.now();
  controller.abort(new Error("stop"));
  await ended;
  return performance.now() - from;
}

const deafAttempt: Fault<number> = {
  name: "an abort during an attempt is not heard",
  scene: "An attempt takes 300 ms and looks at no signal; the caller's signal is aborted after 30 ms.",
  right: "The caller is rejected at once.",
  tell: (ms) => `settled after ${ms.toFixed(0)} ms`,
  wrong: (ms) => ms > 100,
  cast: [
    ours(() => abortInAttempt(viaOurs)),
    theirs("p-retry", (module: RetryModule) => () => abortInAttempt(viaRetry(module))),
    theirs("cockatiel", (module: CockatielModule) => () => abortInAttempt(viaCockatiel(module))),
  ],
};

async function reasonSeen(retried: Retried): Promise<unknown> {
  const controller = new AbortController();
  const failing = (): Promise<never> => Promise.reject(new Error("no"));
  const ended = retried(failing, 120, controller.signal).then(() => "nothing", (reason) => reason);
  await turn(30);
  controller.abort("enough");
  return await ended;
}

const otherReason: Fault<unknown> = {
  name: "the reason of an abort is replaced",
  scene: 'The signal is aborted in a pause with the string "enough" as its reason.',
  right: "The caller is rejected with that string.",
  tell: (reason) => reason === "enough" ? "rejected with it" : `rejected with ${String(reason)}`,
  wrong: (reason) => reason !== "enough",
  cast: [
    ours(() => reasonSeen(viaOurs)),
    theirs("p-retry", (module: RetryModule) => () => reasonSeen(viaRetry(module))),
    theirs("cockatiel", (module: CockatielModule) => () => reasonSeen(viaCockatiel(module))),
  ],
};

async function longPause(retried: Retried): Promise<number> {
  const controller = new AbortController();
  let calls = 0;
  const failing = (): Promise<never> => (calls++, Promise.reject(new Error("no")));
  retried(failing, 2 ** 31, controller.signal).catch(() => {});
  await turn(100);
  controller.abort(new Error("stop"));
  return calls;
}

const shortLong: Fault<number> = {
  name: "a pause beyond 24.8 days takes a millisecond",
  scene: "A first attempt fails, the pause is 2³¹ ms, which is more than the platform's timers can take.",
  right: "There is one attempt in the first 100 ms.",
  tell: (calls) => `${calls} ${calls === 1 ? "attempt" : "attempts"}`,
  wrong: (calls) => calls !== 1,
  cast: [
    ours(() => longPause(viaOurs)),
    theirs("p-retry", (module: RetryModule) => () => longPause(viaRetry(module))),
    theirs("cockatiel", (module: CockatielModule) => () => longPause(viaCockatiel(module))),
  ],
};

const abortedAfterSuccess: Fault<boolean> = {
  name: "a call that succeeded has its signal aborted",
  scene: "A call with a limit in time returns well before it; later its signal is looked at.",
  right: "It is not aborted: what the call returned may still use it, such as a body being read.",
  tell: (aborted) => aborted ? "aborted" : "not aborted",
  wrong: (aborted) => aborted,
  cast: [
    ours(async () => {
      const { signal } = await timeout(1_000, async ({ signal }) => (await turn(), { signal }));
      await turn(20);
      return signal.aborted;
    }),
    theirs("cockatiel", (module: CockatielModule) => async () => {
      const policy = module.timeout(1_000, "aggressive");
      const { signal } = await policy.execute(async ({ signal }) => (await turn(), { signal }));
      await turn(20);
      return signal.aborted;
    }, "timeout"),
  ],
};

/** The scenes of this file. */
export const faults: readonly Fault<unknown>[] = [
  deafPause,
  deafAttempt,
  otherReason,
  shortLong,
  abortedAfterSuccess,
];
