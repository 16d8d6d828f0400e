/** Committing several transactions in two phases: all are prepared before the first is committed. */
import { emit } from "../kernel/observer.ts";
import { endPrepared } from "./_end_prepared.ts";
import { type Member, partialCommit } from "./_together.ts";
import type { Driver, TxModes } from "./driver.ts";

/** What is decided once all are prepared. */
export interface CommitDecision {
  /** What all transactions of the group are known by begins with this. */
  readonly group: string;
  /** What the databases know the transactions by. */
  readonly gids: readonly string[];
}

/** Begins what a group's transactions are known by; `recoverPrepared` looks for it. */
export const PREFIX = "uno_";

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
      await endPrepared(member, "commit");
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
  let outcome: "rolled back" | "unknown" = "unknown";
  try {
    await endPrepared(member, "rollback");
    outcome = "rolled back";
  } catch (error) {
    emit("rollback.failed", "operation group", member.name, { gid: member.gid, error });
  }
  await tx.decided(outcome);
}
