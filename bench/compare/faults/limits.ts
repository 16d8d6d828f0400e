/** Limits on how much runs at once that do not hold, or forget who called. */
import { AsyncLocalStorage } from "node:async_hooks";
import { Limiter } from "../../../src/flow/limiter.ts";
import { after, type Fault, turn } from "../_faults.ts";
import { ours, theirs } from "../_rows.ts";

type Work = () => Promise<unknown>;

interface LimitModule {
  default: (limit: number) => (<T>(fn: () => Promise<T>) => Promise<T>) & { clearQueue(): void };
}
interface QueueModule {
  default: new (options: { concurrency: number; timeout?: number }) => {
    add<T>(fn: () => Promise<T>, options?: { signal?: AbortSignal }): Promise<T>;
    clear(): void;
  };
}
interface BottleneckModule {
  default: new (options: { maxConcurrent: number }) => {
    schedule<T>(options: { expiration?: number }, fn: () => Promise<T>): Promise<T>;
    stop(options: { dropWaitingJobs: boolean }): Promise<void>;
  };
}
interface FastqModule {
  default: {
    promise(worker: (work: Work) => Promise<unknown>, concurrency: number): {
      push(work: Work): Promise<unknown>;
      kill(): void;
    };
  };
}
interface CockatielModule {
  bulkhead(limit: number, queue: number): {
    execute<T>(fn: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  };
}

const pending = (): Promise<void> => new Promise<void>(() => {});

/** How many of four calls run at once, where each takes 60 ms and looks at no signal. */
async function mostOf(call: (work: () => Promise<void>) => Promise<unknown>): Promise<number> {
  let [running, most] = [0, 0];
  const work = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await turn(60);
    running--;
  };
  await Promise.allSettled([1, 2, 3, 4].map(() => call(work)));
  // Callers were answered; the work goes on.
  await turn(300);
  return most;
}

const slotFreed: Fault<number> = {
  name: "a limit in time frees the slot while the work runs",
  scene: "One at a time, each call limited to 15 ms; four calls of 60 ms that do not stop early.",
  right: "One runs at a time.",
  tell: (most) => `${most} run at once`,
  wrong: (most) => most !== 1,
  cast: [
    ours(() => {
      const limiter = new Limiter({ limit: 1 });
      return mostOf((work) => limiter.run(work, { timeoutMs: 15 }));
    }),
    theirs("p-queue", ({ default: PQueue }: QueueModule) => () => {
      const queue = new PQueue({ concurrency: 1, timeout: 15 });
      return mostOf((work) => queue.add(work));
    }),
    theirs("bottleneck", ({ default: Bottleneck }: BottleneckModule) => () => {
      const limiter = new Bottleneck({ maxConcurrent: 1 });
      return mostOf((work) => limiter.schedule({ expiration: 15 }, work));
    }),
  ],
};

const context = new AsyncLocalStorage<number>();

/** How many of eight calls, made in a context each, run in another one. */
async function strangers(call: (work: Work) => PromiseLike<unknown>): Promise<number> {
  let wrong = 0;
  await Promise.all(Array.from({ length: 8 }, (_, i) =>
    context.run(i, () =>
      call(async () => {
        if (context.getStore() !== i) wrong++;
        await turn(1);
      }))));
  return wrong;
}

const wrongContext: Fault<number> = {
  name: "queued work runs in the async context of another caller",
  scene: "Two at a time; eight calls, each made in an AsyncLocalStorage context of its own.",
  right: "Each runs in its caller's context.",
  tell: (wrong) => wrong === 0 ? "each runs in its caller's" : `${wrong} of 8 run in another one`,
  wrong: (wrong) => wrong > 0,
  cast: [
    ours(() => {
      const limiter = new Limiter({ limit: 2 });
      return strangers((work) => limiter.run(work));
    }),
    theirs("fastq", ({ default: fastq }: FastqModule) => () => {
      const queue = fastq.promise((work) => work(), 2);
      return strangers((work) => queue.push(work));
    }),
    theirs("bottleneck", ({ default: Bottleneck }: BottleneckModule) => () => {
      const limiter = new Bottleneck({ maxConcurrent: 2 });
      return strangers((work) => limiter.schedule({}, work));
    }),
    theirs("cockatiel", ({ bulkhead }: CockatielModule) => () => {
      const policy = bulkhead(2, 100);
      return strangers((work) => policy.execute(work));
    }, "bulkhead"),
    theirs("p-queue", ({ default: PQueue }: QueueModule) => () => {
      const queue = new PQueue({ concurrency: 2 });
      return strangers((work) => queue.add(work));
    }),
    theirs("p-limit", ({ default: pLimit }: LimitModule) => () => {
      const limit = pLimit(2);
      return strangers((work) => limit(work));
    }),
  ],
};

const cleared: Fault<string> = {
  name: "a call whose queue was emptied never settles",
  scene: "One at a time; one call runs, one waits; the queue is emptied or ended.",
  right: "The waiting call is rejected.",
  tell: (state) => `50 ms later it is ${state}`,
  wrong: (state) => state === "pending",
  cast: [
    ours(async () => {
      const limiter = new Limiter({ limit: 1 });
      void limiter.run(pending);
      const waiting = limiter.run(pending);
      void limiter.close({ pending: "reject" });
      return await after(50, waiting);
    }),
    theirs("p-limit", ({ default: pLimit }: LimitModule) => async () => {
      const limit = pLimit(1);
      void limit(pending);
      const waiting = limit(pending);
      await turn();
      limit.clearQueue();
      return await after(50, waiting);
    }, "clearQueue()"),
    theirs("fastq", ({ default: fastq }: FastqModule) => async () => {
      const queue = fastq.promise((work) => work(), 1);
      void queue.push(pending);
      const waiting = queue.push(pending);
      queue.kill();
      return await after(50, waiting);
    }, "kill()"),
    theirs("p-queue", ({ default: PQueue }: QueueModule) => async () => {
      const queue = new PQueue({ concurrency: 1 });
      void queue.add(pending);
      const waiting = queue.add(pending);
      await turn();
      queue.clear();
      return await after(50, waiting);
    }, "clear()"),
    theirs("bottleneck", ({ default: Bottleneck }: BottleneckModule) => async () => {
      const limiter = new Bottleneck({ maxConcurrent: 1 });
      void limiter.schedule({}, pending);
      const waiting = limiter.schedule({}, pending);
      await turn(20);
      const state = after(50, waiting);
      void limiter.stop({ dropWaitingJobs: true }).catch(() => {});
      return await state;
    }, "stop()"),
  ],
};

/** Whether one who was let in to wait is turned away when the slot comes free and others come in that turn. */
async function queuedThenRefused(call: (work: Work) => Promise<unknown>): Promise<string> {
  let open!: () => void;
  const gate = new Promise<void>((resolve) => open = resolve);
  void call(() => gate);
  const queued = after(50, call(() => Promise.resolve()));
  await turn();
  void gate.then(() => {
    for (let i = 0; i < 2; i++) call(() => turn(10)).catch(() => {});
  });
  open();
  return await queued;
}

const barger: Fault<string> = {
  name: "a call that was queued is refused later",
  scene: "One at a time and one may wait. The running call ends, and two more calls come in that very turn.",
  right: "The one that waits gets the slot.",
  tell: (state) => state === "fulfilled" ? "it gets the slot" : `it is ${state}`,
  wrong: (state) => state !== "fulfilled",
  cast: [
    ours(() => {
      const limiter = new Limiter({ limit: 1, maxQueue: 1 });
      return queuedThenRefused((work) => limiter.run(work));
    }),
    theirs("cockatiel", ({ bulkhead }: CockatielModule) => () => {
      const policy = bulkhead(1, 1);
      return queuedThenRefused((work) => policy.execute(work));
    }, "bulkhead"),
  ],
};

/** What has become of an aborted call that waits behind one that does not end. */
async function abortedWhileQueued(
  call: (work: Work, signal?: AbortSignal) => Promise<unknown>,
): Promise<string> {
  void call(pending);
  const controller = new AbortController();
  const state = after(50, call(pending, controller.signal));
  await turn();
  controller.abort(new Error("stop"));
  return await state;
}

const deafQueue: Fault<string> = {
  name: "a queued call does not hear its abort",
  scene: "One at a time; one call runs and does not end, one waits and its signal is aborted.",
  right: "The waiting call is rejected.",
  tell: (state) => `50 ms later it is ${state}`,
  wrong: (state) => state !== "rejected",
  cast: [
    ours(() => {
      const limiter = new Limiter({ limit: 1 });
      return abortedWhileQueued((work, signal) => limiter.run(work, { signal }));
    }),
    theirs("cockatiel", ({ bulkhead }: CockatielModule) => () => {
      const policy = bulkhead(1, 10);
      return abortedWhileQueued((work, signal) => policy.execute(work, signal));
    }, "bulkhead"),
    theirs("p-queue", ({ default: PQueue }: QueueModule) => () => {
      const queue = new PQueue({ concurrency: 1 });
      return abortedWhileQueued((work, signal) => queue.add(work, { signal }));
    }),
  ],
};

/** Milliseconds to abort all that wait, last first, with a signal each. */
async function abortAll(
  number: number,
  call: (work: Work, signal?: AbortSignal) => Promise<unknown>,
): Promise<number> {
  void call(pending);
  const controllers = Array.from({ length: number }, () => new AbortController());
  const waiting = controllers.map(({ signal }) => call(pending, signal).catch(() => {}));
  await turn();
  const from = performance.now();
  for (const controller of controllers.reverse()) controller.abort("stop");
  await Promise.all(waiting);
  return performance.now() - from;
}

interface Growth {
  readonly few: number;
  readonly many: number;
}

// Far apart: the few fit into an engine's young generation, where they cost next to nothing to collect.
const [FEW, MANY] = [2_500, 40_000];

/** The shortest of three each: anything else the process does only makes it longer. */
async function growth(
  make: () => (work: Work, signal?: AbortSignal) => Promise<unknown>,
): Promise<Growth> {
  const [few, many]: [number[], number[]] = [[], []];
  await abortAll(500, make());
  for (let i = 0; i < 3; i++) {
    few.push(await abortAll(FEW, make()));
    many.push(await abortAll(MANY, make()));
  }
  return { few: Math.min(...few), many: Math.min(...many) };
}

const abortGrowth: Fault<Growth> = {
  name: "aborting the queue takes more than its length",
  scene:
    "One at a time; 2,500 calls wait, then 40,000, with a signal each; all are aborted, the last one first.",
  right: "Sixteen times as many take about sixteen times as long, and less than 64.",
  tell: ({ few, many }) =>
    `${few.toFixed(0)} ms, then ${many.toFixed(0)} ms: ${(many / few).toFixed(1)} times`,
  wrong: ({ few, many }) => many >= 64 * few,
  cast: [
    ours(() =>
      growth(() => {
        const limiter = new Limiter({ limit: 1 });
        return (work, signal) => limiter.run(work, { signal });
      })
    ),
    theirs("p-queue", ({ default: PQueue }: QueueModule) => () =>
      growth(() => {
        const queue = new PQueue({ concurrency: 1 });
        return (work, signal) => queue.add(work, { signal });
      })),
  ],
};

/** The scenes of this file. */
export const faults: readonly Fault<unknown>[] = [
  slotFreed,
  wrongContext,
  cleared,
  barger,
  deafQueue,
  abortGrowth,
];
