// What a world does with unhandled rejections, printed line by line: run as a process by leak_guard_test.ts.
import process from "node:process";
import { sleep } from "@uno/async/cancel";
import { LeakError, leakGuard, world } from "@uno/async/testing";

function told(error: unknown): string {
  if (error instanceof LeakError) {
    return `LeakError ${
      error.leaks.rejections.map((reason) => reason instanceof Error ? reason.message : String(reason))
    }`;
  }
  if (error instanceof AggregateError) return `AggregateError ${error.errors.map(told)}`;
  return (error as Error).message;
}

async function print(name: string, promise: Promise<unknown>): Promise<void> {
  try {
    await promise;
    console.log(`${name}: passed`);
  } catch (error) {
    console.log(`${name}: ${told(error)}`);
  }
}

function reject(message: string): void {
  void Promise.reject(new Error(message));
}

await print("at once", world(() => reject("at once")));
await print(
  "after a sleep",
  world(async () => {
    void sleep(10).then(() => reject("after a sleep"));
    await sleep(20);
  }),
);
await print("at the very end", world(() => void Promise.resolve().then(() => reject("at the very end"))));
await print(
  "with a failing body",
  world(() => {
    reject("rejected");
    throw new Error("body");
  }),
);
await print(
  "handled in time",
  world(async () => {
    const failing = sleep(1).then(() => Promise.reject(new Error("handled")));
    await Promise.allSettled([failing, sleep(1)]);
  }),
);
await print("not an error", world(() => void Promise.reject(null)));
await world(() => {
  for (let i = 0; i < 1_000; i++) void Promise.reject(i);
}).catch(({ message, leaks }) => console.log(`many: ${message}, all ${leaks.rejections.length} of them`));
await print(
  "guard alone",
  (async () => {
    const guard = leakGuard();
    reject("alone");
    await guard.check();
  })(),
);
console.log(`listeners left: ${process.listenerCount("unhandledRejection")}`);
process.on("unhandledRejection", () => console.log("afterwards: told the next listener"));
reject("afterwards");
