/** Ending a transaction that is prepared, although connections are lost and answers do not come. */
import { sleep } from "../cancel/sleep.ts";
import { timeout } from "../cancel/timeout.ts";
import { backoff } from "../kernel/backoff.ts";
import type { Member } from "./_together.ts";
import { CommitOutcomeUnknownError } from "./errors.ts";
import { isUnanswered } from "./outermost.ts";

const pauseAfter: (attempt: number) => number = backoff({ baseMs: 20, maxMs: 1_000, jitter: "equal" });

/** How many tries there is time for when none is answered: a line that is silent must not take it all. */
const TRIES = 4;

/**
 * Ends a member's prepared transaction, and notes what became of it; on another connection, and again for a while, when its
 * own was lost.
 *
 * **Missing** — where an answer was lost, that was the answer; where none was, somebody else has ended it. MySQL also calls
 * those missing that another connection still holds: the list tells.
 *
 * @throws {CommitOutcomeUnknownError} When time is up, or when somebody else has ended what was to be committed.
 */
export async function endPrepared(member: Member, how: "commit" | "rollback"): Promise<void> {
  const { tx, on, gid } = member;
  const { wire } = tx!;
  const { driver, settings } = wire;
  const twoPhase = driver.twoPhase!;
  const sql = twoPhase[how](gid);
  using limit = timeout(settings.commitTimeoutMs, { operation: `${how} prepared transaction` });
  const { signal } = limit;
  const perTry = { signal, timeoutMs: settings.commitTimeoutMs / TRIES };
  let unanswered = false;
  const unknown = (why: string, cause: unknown): CommitOutcomeUnknownError =>
    new CommitOutcomeUnknownError(`Cannot ${how} prepared transaction "${gid}": ${why}`, {
      dialect: driver.dialect,
      stage: how,
      failure: "connection",
      cause,
      token: gid,
    });
  const ask = async (answer: Promise<unknown>): Promise<void> => {
    try {
      await answer;
    } catch (error) {
      unanswered ||= isUnanswered(error);
      throw error;
    }
  };
  const askOnAnother = async (): Promise<void> => {
    await tx!.giveBack();
    await using session = await on.session({ signal });
    try {
      await ask(session.query(sql, [], perTry));
    } catch (error) {
      if (!twoPhase.isMissing(error)) throw error;
      const { rows } = await session.query<{ gid: string }>(twoPhase.list, [], perTry);
      if (rows.some((row) => (twoPhase.gidOf?.(row) ?? row.gid) === gid)) throw error;
      if (unanswered || how === "rollback") return;
      member.outcome = "unknown";
      throw unknown("somebody else has ended it, so it may be stored or not", error);
    }
  };
  for (let attempt = 1;; attempt++) {
    try {
      if (attempt > 1) await sleep(pauseAfter(attempt - 1), { signal });
      if (attempt === 1 && wire.usable) await ask(tx!.send(sql, perTry.timeoutMs));
      else await askOnAnother();
      member.outcome = how === "commit" ? "committed" : "rolled back";
      return;
    } catch (error) {
      if (member.outcome === "unknown") throw error;
      if (!signal.aborted) continue;
      if (!unanswered) throw unknown("it stays prepared until somebody does", error);
      // Nothing is stored of one that was to be rolled back, done or not.
      if (how === "commit") member.outcome = "unknown";
      throw unknown("it was not answered, so it may be done, or wait for somebody to do it", error);
    }
  }
}
