/** Committing several transactions one after the other, and saying honestly what became of each. */
import { CommitOutcomeUnknownError, type MemberOutcome, PartialCommitError } from "./errors.ts";
import type { Outermost } from "./outermost.ts";
import type { SessionSource } from "./session.ts";

/** One operation of a group. */
export interface Member {
  readonly name: string;
  readonly on: SessionSource;
  /** What the database knows its transaction by, once it is prepared. */
  readonly gid: string;
  tx: Outermost | undefined;
  /** Whether its operation has returned: it may have been cancelled instead. */
  returned: boolean;
  /** Ends what its transaction's signal hangs on. */
  link: Disposable | undefined;
  outcome: MemberOutcome["outcome"];
}

/** Commits one after the other. As long as none is committed, a failure rolls back all. */
export async function finishTogether(members: readonly Member[]): Promise<void> {
  for (const member of members) {
    try {
      await member.tx!.commit();
      member.outcome = "committed";
    } catch (cause) {
      if (cause instanceof CommitOutcomeUnknownError) member.outcome = "unknown";
      for (const { tx } of members) await tx?.undo();
      if (members.every(({ outcome }) => outcome === "rolled back")) throw cause;
      throw partialCommit(members, cause);
    }
  }
}

/** The error that says what became of each. */
export function partialCommit(members: readonly Member[], cause: unknown): PartialCommitError {
  const outcomes = members.map(({ name, outcome, gid, tx }) => {
    const mayBePrepared = outcome === "prepared" || (outcome === "unknown" && tx?.mayBePrepared);
    return { name, outcome, ...(mayBePrepared ? { gid } : {}) };
  });
  const counts = new Map<string, number>();
  for (const { outcome } of outcomes) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const inWords = [...counts].map(([outcome, count]) => `${count} ${outcome}`);
  return new PartialCommitError(
    `Cannot commit all ${members.length} transactions of the group: ${inWords.join(", ")}`,
    outcomes,
    { cause },
  );
}
