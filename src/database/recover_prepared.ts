import { timeout } from "../cancel/timeout.ts";
import { checkChoice, checkFunction, checkOptions, checkWaitOptions, show } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { PREFIX } from "./_two_phase.ts";
import { LeasedSession, type SessionSource } from "./session.ts";

/** What was done about a transaction that a group had left prepared. */
export interface RecoveredTransaction {
  /** What the database knows it by. */
  readonly gid: string;
  /** What all transactions of its group begin with. */
  readonly group: string;
  /** What was done. */
  readonly outcome: "committed" | "rolled back" | "left";
}

/** Options of {@linkcode recoverPrepared}. */
export interface RecoverOptions extends WaitOptions {
  /**
   * What is to be done about a transaction: commit when the group's decision was written down (`onDecision`), roll back
   * when it was not, leave it when the group may still be at work.
   */
  decide: (transaction: { readonly gid: string; readonly group: string }) =>
    | "commit"
    | "rollback"
    | "leave"
    | PromiseLike<"commit" | "rollback" | "leave">;
}

/**
 * Ends the transactions that a crash left prepared, between the two phases of a `SessionOperationGroup`.
 *
 * A prepared transaction holds its locks until somebody ends it, over restarts of the server, too: call this when the
 * application starts, for each database.
 *
 * @param on The database to look into.
 * @param options `signal` and `timeoutMs` bound the whole.
 * @returns What was found, and done about it. Only transactions of such groups are looked at; those that somebody else has
 * ended meanwhile are left out.
 * @throws {RangeError} When the driver has no two phases.
 *
 * @example
 * ```ts ignore
 * const done = await recoverPrepared(db, {
 *   decide: async ({ group }) => (await decisions.has(group)) ? "commit" : "rollback",
 * });
 * ```
 */
export async function recoverPrepared(
  on: SessionSource,
  options: RecoverOptions,
): Promise<readonly RecoveredTransaction[]> {
  const doing = "recover prepared transactions";
  if (typeof on?.session !== "function") {
    throw new TypeError(`Cannot ${doing} as on must be a Database: received ${show(on)}`);
  }
  checkOptions(doing, options ?? null);
  checkFunction(doing, "decide", options.decide);
  checkWaitOptions(doing, options);
  using limit = timeout(options.timeoutMs ?? Infinity, { signal: options.signal, operation: doing });
  const { signal } = limit;
  await using session = await on.session({ signal });
  if (!(session instanceof LeasedSession)) throw new TypeError(`Cannot ${doing} as on must be a Database`);
  const { driver } = session.wire;
  const { twoPhase } = driver;
  if (twoPhase === undefined) throw new RangeError(`Cannot ${doing}: ${driver.name} has none`);
  const { rows } = await session.query<{ gid: string }>(twoPhase.list, [], { signal });
  const found: RecoveredTransaction[] = [];
  for (const row of rows) {
    const gid = twoPhase.gidOf?.(row) ?? row.gid;
    const group = /^(.+)_\d+$/.exec(gid)?.[1];
    if (!gid.startsWith(PREFIX) || group === undefined || !/^[\w-]+$/.test(gid)) continue;
    const decision = await options.decide({ gid, group });
    checkChoice(doing, "decide's answer", decision, ["commit", "rollback", "leave"]);
    let outcome: RecoveredTransaction["outcome"] = "left";
    try {
      if (decision !== "leave") {
        await session.query(twoPhase[decision](gid), [], { signal });
        outcome = decision === "commit" ? "committed" : "rolled back";
      }
    } catch (error) {
      if (!twoPhase.isMissing(error)) throw error;
      // MySQL calls those missing, too, that another connection still holds.
      const { rows } = await session.query<{ gid: string }>(twoPhase.list, [], { signal });
      if (!rows.some((row) => (twoPhase.gidOf?.(row) ?? row.gid) === gid)) continue;
    }
    found.push({ gid, group, outcome });
  }
  return found;
}
