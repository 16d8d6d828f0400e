/** Applications for tests with real processes: the first argument says which. They tell by lines how far they are. */
import process from "node:process";
import { setInterval, setTimeout } from "node:timers";
import { type AsyncManager, registerSignalHandlers, runApplication } from "../../../src/app/mod.ts";
import { sleep } from "../../../src/cancel/mod.ts";

const say = (line: string): void => console.log(line);
const closing = (name: string): Disposable => ({ [Symbol.dispose]: () => say(`close ${name}`) });
const never = (): Promise<never> => new Promise<never>(() => {});

/** Opens two resources, is ready, and waits until it is asked to stop. */
async function serve(app: AsyncManager): Promise<void> {
  await app.use("db", () => closing("db"));
  await app.use("web", () => closing("web"), { after: ["db"] });
  app.onStop(() => say("stop hook"));
  await app.start();
  say("ready");
  await app.stopRequested();
  say("stopping");
}

/** Stays alive by itself, so that only a signal ends it. */
function stay(): void {
  setInterval(() => {}, 60_000);
}

const modes: Record<string, () => Promise<unknown>> = {
  batch: () => runApplication((app) => app.use("db", () => closing("db"))),
  exitCode: () => runApplication(() => process.exitCode = 3),
  serve: () =>
    runApplication(async (app) => {
      // Does not keep the process alive: it comes only if something else does.
      setTimeout(() => say("still there"), 200).unref();
      await serve(app);
      await sleep(50);
      say("drained");
    }),
  failedStart: () =>
    runApplication(async (app) => {
      await app.use("db", () => closing("db"));
      await app.use("cache", () => closing("cache"));
      app.onStart(() => Promise.reject(new Error("port 80 is taken")));
      await app.start();
      say("never");
    }),
  echo: () =>
    runApplication(async (app) => {
      await serve(app);
      // As soon after one another as they still are two: on a busy machine 100 ms are over in no time.
      for (let i = 0; i < 2; i++) {
        process.kill(process.pid, "SIGINT");
        await sleep(1);
      }
      say("drained");
    }),
  impatient: () =>
    runApplication(async (app) => {
      app.onStop(never, { name: "flush" });
      app.signal.addEventListener("abort", () => {
        say("stopping");
        setTimeout(() => say("again"), 150);
      });
      await app.start();
      say("ready");
      await app.stopRequested();
    }, { name: "shop", graceMs: 60_000 }),
  stuck: () =>
    runApplication(async (app) => {
      stay();
      app.tasks.spawn("stuck", never);
      await serve(app);
    }, { name: "shop", graceMs: 300 }),
  afterwards: async () => {
    for (let i = 0; i < 2; i++) {
      const outer = runApplication(async (app) => {
        await runApplication(serve, { signal: app.signal });
        await app.stopRequested();
      });
      await outer;
      say(`ended ${i + 1}`);
    }
    stay();
  },
  ended: async () => {
    await runApplication(() => {});
    stay();
    say("ended");
  },
  reload: async () => {
    stay();
    const handlers = await registerSignalHandlers({ SIGHUP: () => say("reloaded") });
    await using _more = await registerSignalHandlers({ SIGUSR2: () => say("more") });
    say("ready");
    await sleep(Infinity, { signal: onLine("end") }).catch(() => {});
    await handlers[Symbol.asyncDispose]();
    say("ended");
    await never();
  },
};

/** Aborted when the line comes in. */
function onLine(line: string): AbortSignal {
  const controller = new AbortController();
  process.stdin.on("data", (data) => {
    if (String(data).includes(line)) controller.abort();
  });
  return controller.signal;
}

await modes[process.argv[2]!]!();
