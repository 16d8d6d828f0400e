/** Permits that are given back twice, and waiters that are gone but still queued. */
import { AsyncSemaphore } from "../../../src/sync/async_semaphore.ts";
import { after, type Fault, turn } from "../_faults.ts";
import { ours, theirs } from "../_rows.ts";

interface SemaModule {
  Sema: new (permits: number) => { acquire(): Promise<unknown>; release(): void };
}
interface AsyncMutexModule {
  Semaphore: new (permits: number) => Semaphore;
  withTimeout(semaphore: Semaphore, ms: number): Semaphore;
}
interface Semaphore {
  acquire(weight?: number): Promise<[number, () => void]>;
  release(): void;
}

/** How many of five come in and stay. */
async function comeIn(acquire: () => Promise<unknown>): Promise<number> {
  let inside = 0;
  for (let i = 0; i < 5; i++) acquire().then(() => inside++, () => {});
  await turn(20);
  return inside;
}

const overGrant: Fault<number> = {
  name: "a permit given back three times",
  scene:
    "A semaphore of one permit; its holder gives it back three times, then five callers want it for good.",
  right: "One caller holds it.",
  tell: (inside) => `${inside} ${inside === 1 ? "holds" : "hold"} it at once`,
  wrong: (inside) => inside !== 1,
  cast: [
    ours(async () => {
      const semaphore = new AsyncSemaphore(1);
      const lease = await semaphore.acquire();
      for (let i = 0; i < 3; i++) {
        try {
          lease.release();
        } catch {
          // The second one is told that it holds nothing.
        }
      }
      return await comeIn(() => semaphore.acquire());
    }),
    theirs("async-sema", ({ Sema }: SemaModule) => async () => {
      const sema = new Sema(1);
      await sema.acquire();
      for (let i = 0; i < 3; i++) sema.release();
      return await comeIn(() => sema.acquire());
    }),
    theirs("async-mutex", ({ Semaphore }: AsyncMutexModule) => async () => {
      const semaphore = new Semaphore(1);
      const [, release] = await semaphore.acquire();
      for (let i = 0; i < 3; i++) release();
      return await comeIn(() => semaphore.acquire());
    }, "the function it gave"),
    theirs("async-mutex", ({ Semaphore }: AsyncMutexModule) => async () => {
      const semaphore = new Semaphore(1);
      await semaphore.acquire();
      for (let i = 0; i < 3; i++) semaphore.release();
      return await comeIn(() => semaphore.acquire());
    }, "semaphore.release()"),
  ],
};

const ghost: Fault<"fulfilled" | "rejected" | "pending"> = {
  name: "a waiter that timed out stays queued",
  scene:
    "Two permits, one taken. A caller who wants both gives up after 10 ms; then one wants the free permit.",
  right: "It gets the free permit.",
  tell: (state) => state === "fulfilled" ? "it gets the free permit" : `50 ms later it is ${state}`,
  wrong: (state) => state !== "fulfilled",
  cast: [
    ours(async () => {
      const semaphore = new AsyncSemaphore(2);
      await semaphore.acquire();
      await semaphore.acquire({ weight: 2, timeoutMs: 10 }).catch(() => {});
      return await after(50, semaphore.acquire());
    }),
    theirs("async-mutex", ({ Semaphore, withTimeout }: AsyncMutexModule) => async () => {
      const semaphore = new Semaphore(2);
      await semaphore.acquire();
      await withTimeout(semaphore, 10).acquire(2).catch(() => {});
      return await after(50, semaphore.acquire());
    }, "withTimeout"),
  ],
};

/** The scenes of this file. */
export const faults: readonly Fault<unknown>[] = [overGrant, ghost];
