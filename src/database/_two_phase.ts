/** Committing several transactions in two phases: all are prepared before the first is committed. */
import { sleep } from "../cancel/sleep.ts";
import { timeout } from "../cancel/timeout.ts";
import { backoff } from "../kernel/backoff.ts";
import { emit } from "../kernel/observer.ts";
import { type Member, partialCommit } from "./_together.ts";
import type { Driver, TxModes } from "./driver.ts";
import { CommitOutcomeUnknownError } from "./errors.ts";

/** What is decided once all are prepared. */
export interface CommitDecision {
  /** What all transactions of the group are known by begins with this. */
  readonly group: string;
  /** What the databases know the transactions by. */
  readonly gids: readonly string[];
}

/** Begins what a group's transactions are known by; `recoverPrepared` looks for it. */
export const PREFIX = "uno_";

const pauseAfter: (attempt: number) => number = backoff({ baseMs: 20, maxMs: 1_000, jitter: "equal" });

/** A name that no other group has, in characters that need no quoting: MySQL takes 64. */
export function newGroupId(name = "group"): string {
  const readable = name.replaceAll(/[^A-Za-z0-9]+/g, "-").slice(0, 16);
  return `${PREFIX}${readable}_${crypto.randomUUID().replaceAll("-", "")}`;
}

/** How a member's transaction is begun so that it can be prepared. */
export function twoPhaseOf({ gid }: Member): (driver: Driver, modes: TxModes) => readonly string[] {
  return (driver, modes) => {
    if (driver.twoPhase === undefined) {
      throw new RangeError(
        `Cannot begin transaction as protocol must not be "two-phase" with ${driver.name}`,
      );
    }
    return driver.twoPhase.begin?.(gid, modes) ?? driver.begin(modes);
  };
}

/** Prepares all, then commits all. A failure while preparing rolls back all. */
export async function finishInTwoPhases(
  members: readonly Member[],
  group: string,
  onDecision: ((decision: CommitDecision) => unknown) | undefined,
): Promise<void> {
  try {
    for (const member of members) {
      // Before it is asked for: when the answer is lost, it may be.
      member.outcome = "prepared";
      await member.tx!.prepare(member.gid);
    }
    await onDecision?.({ group, gids: members.map(({ gid }) => gid) });
  } catch (error) {
    for (const member of members) await takeBack(member);
    if (members.every(({ outcome }) => outcome === "rolled back")) throw error;
    throw partialCommit(members, error);
  }
  const failures: unknown[] = [];
  for (const member of members) {
    try {
      await finish(member, "commit");
      member.outcome = "committed";
    } catch (error) {
      failures.push(error);
    }
    await member.tx!.decided(member.outcome === "committed" ? "committed" : "unknown");
  }
  if (failures.length > 0) throw partialCommit(members, failures[0]);
}

/** Rolls back what is not prepared, or may be. */
async function takeBack(member: Member): Promise<void> {
  const { tx } = member;
  if (tx === undefined) return;
  if (member.outcome !== "prepared" || !tx.mayBePrepared) {
    await tx.undo();
    member.outcome = "rolled back";
    return;
  }
  try {
    await finish(member, "rollback");
    member.outcome = "rolled back";
  } catch (error) {
    emit("rollback.failed", "operation group", member.name, { gid: member.gid, error });
  }
  await tx.decided(member.outcome === "rolled back" ? "rolled back" : "unknown");
}

/** Ends a prepared transaction; on another connection, and again for a while, when its own was lost. */
async function finish({ tx, on, gid }: Member, how: "commit" | "rollback"): Promise<void> {
  const { wire } = tx!;
  const { driver, settings } = wire;
  const sql = driver.twoPhase![how](gid);
  const isOver = (error: unknown): boolean => driver.twoPhase!.isMissing(error);
  let asked = false;
  await timeout(settings.commitTimeoutMs, async ({ signal }) => {
    for (let attempt = 1;; attempt++) {
      try {
        if (attempt === 1 && wire.usable) {
          asked = true;
          await tx!.send(sql);
        } else {
          await tx!.giveBack();
          await using session = await on.session({ signal });
          asked = true;
          await session.query(sql);
        }
        return;
      } catch (error) {
        // Somebody has ended it meanwhile: we ourselves, when the answer was lost.
        if (asked && attempt > 1 && isOver(error)) return;
        if (how === "rollback" && isOver(error)) return;
        if (signal.aborted) {
          throw new CommitOutcomeUnknownError(
            `Cannot ${how} prepared transaction "${gid}": it stays prepared until somebody does`,
            { dialect: driver.dialect, stage: how, failure: "connection", cause: error, token: gid },
          );
        }
        await sleep(pauseAfter(attempt), { signal });
      }
    }
  }, { operation: `${how} prepared transaction` });
}
