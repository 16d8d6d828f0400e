/** Leaves one thing pending and nothing else alive, and says when it is over. */
import process from "node:process";
import { sleep, timeout } from "../../../src/cancel/mod.ts";
import { AsyncLock } from "../../../src/sync/mod.ts";

const never = new Promise<never>(() => {});
const lock = new AsyncLock();
const say = (): void => console.log("over");

switch (process.argv[2]) {
  case "sleep":
    sleep(200).then(say);
    break;
  case "timeout":
    timeout(200, () => never).catch(say);
    break;
  case "acquire":
    lock.tryAcquire();
    lock.acquire({ timeoutMs: 200 }).catch(say);
    break;
  case "scope":
    timeout(60_000).signal.addEventListener("abort", say);
    break;
  case "idle":
    lock.tryAcquire();
    timeout(60_000, () => "done").then(say);
    break;
}
