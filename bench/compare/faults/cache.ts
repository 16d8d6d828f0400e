/** Loads that callers share: whose signal ends them, and whose does not. */
import { AsyncCache } from "../../../src/flow/async_cache.ts";
import { after, type Fault, turn } from "../_faults.ts";
import { ours, theirs } from "../_rows.ts";

type Load = (signal: AbortSignal) => unknown;

/** A cache with one loader. */
type Get = (key: string, signal?: AbortSignal) => Promise<unknown>;

interface LruModule {
  LRUCache: new (options: {
    max: number;
    fetchMethod: (key: string, stale: unknown, options: { signal: AbortSignal }) => unknown;
  }) => { fetch(key: string, options?: { signal?: AbortSignal }): Promise<unknown> };
}

function viaOurs(load: Load): Get {
  const cache = new AsyncCache<string, unknown>({ maxEntries: 10 });
  return (key, signal) => cache.get(key, (_, context) => load(context.signal), { signal });
}

function viaLru({ LRUCache }: LruModule): (load: Load) => Get {
  return (load) => {
    const cache = new LRUCache({ max: 10, fetchMethod: (_key, _stale, { signal }) => load(signal) });
    return (key, signal) => cache.fetch(key, { signal });
  };
}

/** A load of 60 ms that stops when its signal says so. */
const load: Load = (signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve("value"), 60);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

async function firstAborts(make: (load: Load) => Get): Promise<unknown> {
  const get = make(load);
  const controller = new AbortController();
  const first = get("key", controller.signal).catch(() => {});
  const second = get("key").then((value) => value, (error) => `rejected with ${error}`);
  await turn(10);
  controller.abort(new Error("the first one's own"));
  await first;
  return await second;
}

const firstEndsAll: Fault<unknown> = {
  name: "the first caller's signal ends the load of all",
  scene: "Two callers share a load of 60 ms; the first one's signal is aborted after 10 ms.",
  right: "The second one gets the value.",
  tell: (seen) => seen === "value" ? "it gets the value" : `it gets: ${seen}`,
  wrong: (seen) => seen !== "value",
  cast: [
    ours(() => firstAborts(viaOurs)),
    theirs("lru-cache", (module: LruModule) => () => firstAborts(viaLru(module)), "fetch"),
  ],
};

async function secondAborts(make: (load: Load) => Get): Promise<string> {
  const get = make(load);
  const first = get("key").catch(() => {});
  const controller = new AbortController();
  const second = after(30, get("key", controller.signal));
  controller.abort(new Error("stop"));
  const state = await second;
  await first;
  return state;
}

const secondUnheard: Fault<string> = {
  name: "a later caller's signal is not heard",
  scene: "Two callers share a load of 60 ms; the second one's signal is aborted.",
  right: "The second one is rejected at once.",
  tell: (state) => `30 ms later it is ${state}`,
  wrong: (state) => state !== "rejected",
  cast: [
    ours(() => secondAborts(viaOurs)),
    theirs("lru-cache", (module: LruModule) => () => secondAborts(viaLru(module)), "fetch"),
  ],
};

interface Refused {
  readonly state: string;
  readonly loads: number;
}

async function abortedBefore(make: (load: Load) => Get): Promise<Refused> {
  let loads = 0;
  const get = make((signal) => (loads++, load(signal)));
  const state = await after(120, get("key", AbortSignal.abort(new Error("stop"))));
  return { state, loads };
}

const abortedIgnored: Fault<Refused> = {
  name: "a signal that is aborted already is not looked at",
  scene: "A key is asked for with a signal that is aborted.",
  right: "The caller is rejected and nothing is loaded.",
  tell: ({ state, loads }) => `${state}, ${loads} ${loads === 1 ? "load" : "loads"} begun`,
  wrong: ({ state, loads }) => state !== "rejected" || loads > 0,
  cast: [
    ours(() => abortedBefore(viaOurs)),
    theirs("lru-cache", (module: LruModule) => () => abortedBefore(viaLru(module)), "fetch"),
  ],
};

const loadsNothing: Fault<string> = {
  name: "a load that returns nothing hangs",
  scene: "The load is synchronous and returns undefined.",
  right: "The caller gets undefined, or is told.",
  tell: (state) => `50 ms later it is ${state}`,
  wrong: (state) => state === "pending",
  cast: [
    ours(() => after(50, viaOurs(() => undefined)("key"))),
    theirs(
      "lru-cache",
      (module: LruModule) => () => after(50, viaLru(module)(() => undefined)("key")),
      "fetch",
    ),
  ],
};

/** The scenes of this file. */
export const faults: readonly Fault<unknown>[] = [firstEndsAll, secondUnheard, abortedIgnored, loadsNothing];
