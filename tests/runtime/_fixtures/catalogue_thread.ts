/** A thread that answers a number with its double, gets stuck at 0 and fails at a negative one. */
import { parentPort, workerData } from "node:worker_threads";

parentPort!.on("message", (n: number) => {
  while (n === 0);
  if (n < 0) throw new RangeError(`Cannot double ${n}: it is negative`);
  parentPort!.postMessage(n * (workerData as number));
});
