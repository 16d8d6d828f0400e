import assert from "node:assert/strict";
import { asTask, AsyncManager, registerSignalHandlers, runApplication } from "../../../src/app/mod.ts";
import { sleep } from "../../../src/cancel/sleep.ts";
import { ClosedError } from "../../../src/kernel/errors.ts";
import { FakeHost, type World } from "../../../src/testing/mod.ts";
import { all, type Operation } from "../_scene.ts";

/** What an application does, for whoever looks afterwards whether it was all undone, in reverse. */
class Log {
  readonly events: string[] = [];
  readonly #open: string[] = [];

  readonly opening = (name: string, ms: number) => async ({ signal }: { signal: AbortSignal }) => {
    await sleep(ms, { signal });
    this.events.push(`open ${name}`);
    this.#open.push(name);
    return {
      [Symbol.asyncDispose]: async () => {
        await sleep(1);
        this.events.push(`close ${name}`);
        assert.equal(this.#open.pop(), name, `closed in the reverse order: ${this.events}`);
      },
    };
  };

  readonly hook =
    (name: string, ms: number) => async ({ signal }: { signal: AbortSignal }): Promise<void> => {
      await sleep(ms, { signal });
      this.events.push(name);
    };

  readonly assertUndone = (): void => assert.deepEqual(this.#open, [], String(this.events));
}

/** Stops an application when `signal` is aborted, and never listens longer than for `act`. */
async function stoppedBy(
  signal: AbortSignal,
  stop: (reason: unknown) => unknown,
  act: () => Promise<unknown>,
): Promise<void> {
  const aborted = (): void => void stop(signal.reason);
  if (signal.aborted) aborted();
  signal.addEventListener("abort", aborted);
  try {
    await act();
  } finally {
    signal.removeEventListener("abort", aborted);
  }
}

/** A failure that says no more than that the application was stopped by then. */
function mayBeClosed(signal: AbortSignal, work: PromiseLike<unknown>): Promise<unknown> {
  return Promise.resolve(work).catch((error) => {
    if (!(error instanceof ClosedError) && error !== signal.reason && error !== "stop") throw error;
  });
}

export const operations: readonly Operation[] = [
  {
    name: "an application that starts, works and is stopped",
    covers: [
      "AsyncManager.start",
      "AsyncManager.stop",
      "AsyncManager.use",
      "AsyncManager.stopRequested",
      "AsyncManager[Symbol.asyncDispose]",
    ],
    scene: () => {
      const log = new Log();
      const app = new AsyncManager({ graceMs: 100 });
      let running = 0;
      return {
        act: async (signal) => {
          await using disposing = app;
          await stoppedBy(signal, (reason) => app.stop(reason), async () => {
            const attempt = (register: () => unknown): void => {
              try {
                register();
              } catch (error) {
                assert.ok(error instanceof ClosedError, String(error));
                assert.ok(signal.aborted);
              }
            };
            const used = all(
              mayBeClosed(signal, app.use("db", log.opening("db", 2))),
              mayBeClosed(signal, app.use("web", log.opening("web", 1), { after: ["db"] })),
            );
            attempt(() => app.onStart(log.hook("started", 2)));
            attempt(() => app.onStop(log.hook("stopping", 1)));
            attempt(() => app.onStart(log.hook("warm", 1)));
            attempt(() =>
              void app.tasks.spawn("poller", async ({ signal }) => {
                running++;
                try {
                  await sleep(50, { signal });
                } finally {
                  running--;
                }
              }, { daemon: true }).catch(() => {})
            );
            const requested = app.stopRequested();
            await all(used, mayBeClosed(signal, app.start()));
            await sleep(2);
            const [report] = await Promise.all([disposing.stop("stop"), disposing[Symbol.asyncDispose]()]);
            await requested;
            // The signal is an AbortError: whoever stops an application so means no failure.
            assert.deepEqual([report.code, report.stragglers, report.errors], [0, [], []]);
            signal.throwIfAborted();
          });
        },
        check: () => {
          log.assertUndone();
          assert.deepEqual([app.state, running], ["stopped", 0]);
          const { events } = log;
          assert.equal(events.includes("stopping"), events.includes("started"), String(events));
          assert.equal(app.statistics().resources, 0);
        },
      };
    },
  },
  {
    name: "an application whose start fails, stopped or not",
    covers: ["AsyncManager.start", "AsyncManager.use"],
    scene: () => {
      const log = new Log();
      const app = new AsyncManager({ graceMs: 100 });
      const failure = new Error("no disk");
      return {
        act: async (signal) => {
          await stoppedBy(signal, (reason) => app.stop(reason), async () => {
            const used = all(
              mayBeClosed(signal, app.use("a", log.opening("a", 1))),
              mayBeClosed(signal, app.use("b", log.opening("b", 2), { after: ["a"] })),
              mayBeClosed(
                signal,
                app.use("c", async ({ signal }) => {
                  await sleep(2, { signal });
                  throw failure;
                }, { after: ["b"] }),
              ),
            );
            const outcome = await all(used, app.start()).catch((error) => error);
            await app.stop();
            if (!signal.aborted) assert.equal(outcome, failure);
            else if (outcome !== failure && !(outcome instanceof ClosedError)) throw outcome;
          });
        },
        check: () => {
          assert.equal(app.state, "stopped");
          log.assertUndone();
        },
      };
    },
  },
  {
    name: "an application under a host, with tasks made of functions and handlers of signals",
    covers: ["runApplication", "asTask", "registerSignalHandlers"],
    scene: () => {
      const log = new Log();
      const host = new FakeHost();
      let handled = 0;
      return {
        act: async (signal: AbortSignal, world: World) => {
          const handlers = await registerSignalHandlers({
            SIGHUP: async ({ signal }) => {
              await sleep(1, { signal });
              handled++;
            },
          }, { host });
          const report = await runApplication(async (app) => {
            await app.use("db", log.opening("db", 1));
            app.onStop(log.hook("stopping", 1));
            const count = asTask(app)(async function count({ signal }: { signal: AbortSignal }) {
              await sleep(3, { signal });
            });
            await app.start();
            host.send("SIGHUP");
            await count({ signal: app.signal });
            await sleep(2, { signal: app.signal });
          }, { host, signal, graceMs: 100 });
          await handlers[Symbol.asyncDispose]();
          assert.deepEqual([report.code, report.errors, report.stragglers], [0, [], []]);
          assert.ok(world.now < 50);
        },
        check: () => {
          log.assertUndone();
          assert.ok(handled <= 1);
          assert.deepEqual([host.listening, host.keptAlive, host.exits], [[], false, []]);
        },
      };
    },
  },
];

export const still: Record<string, string> = {
  "Host.quiet": "what a host does for an application: its implementations are tested against real processes",
};
