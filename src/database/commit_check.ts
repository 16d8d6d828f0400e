/** Finding out what became of a COMMIT that was not answered. */
import { sleep } from "../cancel/sleep.ts";
import { timeout } from "../cancel/timeout.ts";
import { backoff } from "../kernel/backoff.ts";
import { checkFunction, show } from "../kernel/checks.ts";
import { isThenable } from "../kernel/deferred.ts";
import { emit } from "../kernel/observer.ts";
import type { Driver } from "./driver.ts";
import type { SessionSource } from "./session.ts";
import { checkVerifyCommit } from "./settings.ts";
import type { CommitOutcome, VerifyCommit } from "./verify_commit.ts";
import { anybody, type Wire } from "./wire.ts";

/** What a transaction is given to find out by. */
export interface CommitCheck {
  /** What the database knows the transaction by; asked for before the COMMIT. Undefined when it wrote nothing. */
  token(wire: Wire, signal: AbortSignal | undefined): Promise<string | undefined>;
  /** What became of it; never rejects. */
  outcome(token: string | undefined): Promise<CommitOutcome>;
}

const pauseAfter: (attempt: number) => number = backoff({ baseMs: 20, maxMs: 500, jitter: "equal" });

/** Makes the check that a transaction was asked for by `verifyCommit`. */
export function commitCheck(
  doing: string,
  verify: boolean | VerifyCommit | undefined,
  on: SessionSource,
  about: { readonly attempt: number; readonly limitMs: number },
): CommitCheck | undefined {
  if (verify === undefined || verify === false) return undefined;
  if (verify !== true) checkFunction(doing, "verifyCommit", verify);
  const find = verify === true
    ? (token: string | undefined, signal: AbortSignal, driver: Driver) => askServer(on, driver, token, signal)
    : (_: string | undefined, signal: AbortSignal) => verify({ attempt: about.attempt, signal });
  let driver: Driver;
  return {
    async token(wire, signal) {
      driver = wire.driver;
      checkVerifyCommit(doing, verify, driver);
      if (verify !== true) return undefined;
      const { token: sql } = driver.commitCheck!;
      const result = wire.run({ sql, params: [], stage: "commit", sender: anybody, signal });
      const { rows } = isThenable(result) ? await result : result;
      const { token } = rows[0] as { token: unknown };
      return token === null ? undefined : String(token);
    },
    async outcome(token) {
      try {
        const found = await timeout(about.limitMs, async ({ signal }) => await find(token, signal, driver), {
          operation: "find out what became of a transaction",
        });
        if (found === "committed" || found === "aborted") return found;
        if (found !== "unknown") {
          throw new TypeError(`Cannot take what verifyCommit gave for an outcome: received ${show(found)}`);
        }
      } catch (error) {
        emit("verify.failed", "transaction", undefined, { error });
      }
      return "unknown";
    },
  };
}

/** On another connection, and again while the server that was lost is coming back, or has not ended it yet. */
async function askServer(
  on: SessionSource,
  driver: Driver,
  token: string | undefined,
  signal: AbortSignal,
): Promise<CommitOutcome> {
  // It wrote nothing: whether it was committed makes no difference.
  if (token === undefined) return "committed";
  for (let attempt = 1;; attempt++) {
    try {
      await using session = await on.session({ signal });
      const { rows } = await session.query<{ status: string | null }>(driver.commitCheck!.status, [token], {
        signal,
      });
      const status = rows[0]?.status;
      if (status === "committed" || status === "aborted") return status;
      // Too old for the server to know.
      if (status !== "in progress") return "unknown";
    } catch (error) {
      if (signal.aborted) throw error;
    }
    await sleep(pauseAfter(attempt), { signal });
  }
}
