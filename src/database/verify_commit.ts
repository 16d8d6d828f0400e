/** What a caller can say of a COMMIT that was not answered. */

/** What became of a transaction. */
export type CommitOutcome = "committed" | "aborted" | "unknown";

/** Finds out what became of a transaction whose COMMIT was not answered. */
export type VerifyCommit = (transaction: { readonly attempt: number; readonly signal: AbortSignal }) =>
  | CommitOutcome
  | PromiseLike<CommitOutcome>;
