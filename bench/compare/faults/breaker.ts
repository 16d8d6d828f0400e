/** Circuit breakers that open, close or wait for the wrong reason. */
import { CircuitBreaker } from "../../../src/flow/circuit_breaker.ts";
import { after, type Fault, turn } from "../_faults.ts";
import { ours, theirs } from "../_rows.ts";

type Work = (signal?: AbortSignal) => Promise<unknown>;

/** What the scenes need of a breaker. */
interface Breaker {
  run(work: Work, signal?: AbortSignal): Promise<unknown>;
  /** Whether it lets calls through; asked when nothing runs. */
  closed(): boolean;
  end?(): void;
}

const OPEN_MS = 50;

function viaOurs(): Breaker {
  const breaker = new CircuitBreaker({ failures: 3, openMs: OPEN_MS, openJitter: 0 });
  return {
    run: (work, signal) => breaker.run(({ signal }) => work(signal), { signal }),
    closed: () => breaker.state === "closed",
  };
}

interface CockatielModule {
  handleAll: unknown;
  handleWhen(predicate: (error: Error) => boolean): unknown;
  ConsecutiveBreaker: new (threshold: number) => unknown;
  CircuitState: { Closed: unknown };
  circuitBreaker(what: unknown, options: { halfOpenAfter: number; breaker: unknown }): {
    readonly state: unknown;
    execute<T>(fn: (context: { signal: AbortSignal }) => Promise<T>, signal?: AbortSignal): Promise<T>;
  };
}

function viaCockatiel(module: CockatielModule, handled = module.handleAll): Breaker {
  const breaker = module.circuitBreaker(handled, {
    halfOpenAfter: OPEN_MS,
    breaker: new module.ConsecutiveBreaker(3),
  });
  return {
    run: (work, signal) => breaker.execute(({ signal }) => work(signal), signal),
    closed: () => breaker.state === module.CircuitState.Closed,
  };
}

interface OpossumOptions {
  timeout: number | false;
  resetTimeout?: number;
  volumeThreshold?: number;
  abortController?: AbortController;
}
interface OpossumModule {
  default: new (fn: (work: Work) => unknown, options: OpossumOptions) => {
    readonly closed: boolean;
    fire(work: Work): Promise<unknown>;
    shutdown(): void;
  };
}

function viaOpossum({ default: Opossum }: OpossumModule): Breaker {
  const breaker = new Opossum((work) => work(), {
    timeout: false,
    resetTimeout: OPEN_MS,
    volumeThreshold: 3,
  });
  return {
    run: (work) => breaker.fire(work),
    closed: () => breaker.closed,
    end: () => breaker.shutdown(),
  };
}

const down: Work = () => Promise.reject(new Error("down"));

function attempt(breaker: Breaker, work: Work, signal?: AbortSignal): Promise<unknown> {
  return breaker.run(work, signal).catch(() => {});
}

async function opened(breaker: Breaker): Promise<void> {
  for (let i = 0; i < 4; i++) await attempt(breaker, down);
}

/** A scene with a breaker, which is ended afterwards. */
async function playing<T>(breaker: Breaker, scene: (breaker: Breaker) => Promise<T>): Promise<T> {
  try {
    return await scene(breaker);
  } finally {
    breaker.end?.();
  }
}

async function staleSuccess(breaker: Breaker): Promise<boolean> {
  let answer!: () => void;
  const old = breaker.run(() => new Promise<void>((resolve) => answer = resolve));
  await opened(breaker);
  await turn(OPEN_MS + 30);
  // Half-open: a probe is under way while the old call ends well.
  let end!: () => void;
  const probe = attempt(breaker, () => new Promise<void>((resolve) => end = resolve));
  answer();
  await old.catch(() => {});
  await turn();
  const closed = breaker.closed();
  end();
  await probe;
  return closed;
}

const closesOnOld: Fault<boolean> = {
  name: "a success from before closes the circuit",
  scene: "A call is under way when the circuit opens; it ends well while a probe is under way.",
  right: "The probe decides: the circuit is not closed yet.",
  tell: (closed) => closed ? "closed by the old call" : "not closed yet",
  wrong: (closed) => closed,
  cast: [
    ours(() => staleSuccess(viaOurs())),
    theirs("opossum", (module: OpossumModule) => () => playing(viaOpossum(module), staleSuccess)),
    theirs("cockatiel", (module: CockatielModule) => () => staleSuccess(viaCockatiel(module))),
  ],
};

async function staleFailure(breaker: Breaker): Promise<boolean> {
  let fail!: (error: unknown) => void;
  const old = attempt(breaker, () => new Promise<void>((_, reject) => fail = reject));
  await opened(breaker);
  await turn(OPEN_MS + 30);
  let end!: () => void;
  const probe = attempt(breaker, () => new Promise<void>((resolve) => end = resolve));
  fail(new Error("down"));
  await old;
  end();
  await probe;
  await turn();
  return breaker.closed();
}

const opensOnOld: Fault<boolean> = {
  name: "a failure from before opens the circuit again",
  scene:
    "A call is under way when the circuit opens; it fails while a probe is under way, which then ends well.",
  right: "The probe decides: the circuit closes.",
  tell: (closed) => closed ? "closed" : "not closed",
  wrong: (closed) => !closed,
  cast: [
    ours(() => staleFailure(viaOurs())),
    theirs("cockatiel", (module: CockatielModule) => () => staleFailure(viaCockatiel(module))),
    theirs("opossum", (module: OpossumModule) => () => playing(viaOpossum(module), staleFailure)),
  ],
};

async function abortedProbe(breaker: Breaker): Promise<boolean> {
  await opened(breaker);
  await turn(OPEN_MS + 30);
  const controller = new AbortController();
  const hanging: Work = (signal) =>
    new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)));
  const probe = attempt(breaker, hanging, controller.signal);
  await turn();
  controller.abort(new DOMException("stop", "AbortError"));
  await probe;
  await turn();
  return breaker.closed();
}

const closesOnAbort: Fault<boolean> = {
  name: "a probe that was aborted closes the circuit",
  scene: "The circuit is half-open; the probe's caller aborts it while the service is silent.",
  right: "Nothing is known of the service: the circuit is not closed.",
  tell: (closed) => closed ? "closed" : "not closed",
  wrong: (closed) => closed,
  cast: [
    ours(() => abortedProbe(viaOurs())),
    theirs("cockatiel", (module: CockatielModule) => () => abortedProbe(viaCockatiel(module))),
    theirs("cockatiel", (module: CockatielModule) => {
      const handled = module.handleWhen(({ message }) => message === "down");
      return () => abortedProbe(viaCockatiel(module, handled));
    }, "handleWhen the service is down"),
  ],
};

async function behindProbe(breaker: Breaker): Promise<string> {
  await opened(breaker);
  await turn(OPEN_MS + 30);
  void attempt(breaker, () => new Promise(() => {}));
  await turn();
  const controller = new AbortController();
  const state = after(50, breaker.run(() => Promise.resolve(), controller.signal));
  controller.abort(new Error("stop"));
  return await state;
}

const hangsBehindProbe: Fault<string> = {
  name: "a call behind a probe that hangs does not hear its abort",
  scene: "The circuit is half-open and its probe does not end; another call is made and its signal aborted.",
  right: "The other call is rejected.",
  tell: (state) => `50 ms later it is ${state}`,
  wrong: (state) => state !== "rejected",
  cast: [
    ours(() => behindProbe(viaOurs())),
    theirs("cockatiel", (module: CockatielModule) => () => behindProbe(viaCockatiel(module))),
  ],
};

const opensOnOne: Fault<boolean> = {
  name: "one failure opens the circuit",
  scene: "A breaker with no other settings than its default ones; its first call fails.",
  right: "One call says little: the circuit stays closed.",
  tell: (closed) => closed ? "it stays closed" : "it opens",
  wrong: (closed) => !closed,
  cast: [
    ours(async () => {
      const breaker = new CircuitBreaker();
      await breaker.run(() => Promise.reject(new Error("down"))).catch(() => {});
      return breaker.state === "closed";
    }),
    theirs("opossum", ({ default: Opossum }: OpossumModule) => async () => {
      const breaker = new Opossum((work) => work(), { timeout: false });
      await breaker.fire(down).catch(() => {});
      const { closed } = breaker;
      breaker.shutdown();
      return closed;
    }),
  ],
};

const failsNothing: Fault<string> = {
  name: "a function that returns nothing has failed",
  scene: "The function called is synchronous and returns undefined.",
  right: "The call succeeds.",
  tell: (state) => state,
  wrong: (state) => state !== "fulfilled",
  cast: [
    ours(() => after(20, new CircuitBreaker().run(() => undefined))),
    theirs("opossum", ({ default: Opossum }: OpossumModule) => async () => {
      const breaker = new Opossum(() => undefined, { timeout: false });
      const state = await after(20, breaker.fire(down));
      breaker.shutdown();
      return state;
    }),
  ],
};

const othersAborted: Fault<boolean> = {
  name: "one call's limit in time aborts another call",
  scene: "Two calls are limited to 60 ms, the second one made 40 ms after the first, which does not end.",
  right: "At 80 ms the first one's signal is aborted, the second one's is not.",
  tell: (aborted) => aborted ? "the second one's is aborted, too" : "the second one's is not aborted",
  wrong: (aborted) => aborted,
  cast: [
    ours(async () => {
      const breaker = new CircuitBreaker();
      void breaker.run(() => new Promise(() => {}), { timeoutMs: 60 }).catch(() => {});
      await turn(40);
      let second: AbortSignal | undefined;
      const call = breaker.run(({ signal }) => (second = signal, turn(50)), { timeoutMs: 60 });
      await turn(40);
      const { aborted } = second!;
      await call.catch(() => {});
      return aborted;
    }),
    theirs("opossum", ({ default: Opossum }: OpossumModule) => async () => {
      // The way it has for handing signals to calls.
      const abortController = new AbortController();
      const breaker = new Opossum((work) => work(abortController.signal), {
        timeout: 60,
        volumeThreshold: 10,
        abortController,
      });
      void breaker.fire(() => new Promise(() => {})).catch(() => {});
      await turn(40);
      let second: AbortSignal | undefined;
      const call = breaker.fire((signal) => (second = signal, turn(50)));
      await turn(40);
      const { aborted } = second!;
      await call.catch(() => {});
      breaker.shutdown();
      return aborted;
    }, "abortController"),
  ],
};

/** The scenes of this file. */
export const faults: readonly Fault<unknown>[] = [
  closesOnOld,
  opensOnOld,
  closesOnAbort,
  hangsBehindProbe,
  opensOnOne,
  failsNothing,
  othersAborted,
];
