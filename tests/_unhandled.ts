/** Rejections that nobody handles, during a test that runs in real time. */
import { watchRejections } from "../src/testing/_unhandled.ts";

/** Runs `fn` and gives the reasons of rejections that nobody had handled until a moment after it. */
export async function unhandledDuring(fn: () => PromiseLike<unknown>): Promise<unknown[]> {
  const reasons: unknown[] = [];
  using _watching = watchRejections((reason) => reasons.push(reason));
  await fn();
  await new Promise((resolve) => setTimeout(resolve, 10));
  return reasons;
}
