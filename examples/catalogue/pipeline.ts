/**
 * The pipeline: find, examine, save.
 *
 * Three stages in one task group, joined by bounded channels. A stage that is slower than the one before it fills the
 * channel between them, and the one before waits: memory stays the same, whether there are a thousand files or a
 * million. A failure in any stage ends all of them.
 */
import { AsyncBatcher, type AsyncBatcherStatistics } from "@uno/async/flow";
import { Channel, type ChannelStatistics } from "@uno/async/sync";
import { type GroupStatistics, TaskGroup } from "@uno/async/task";
import type { Outcome, Question } from "./entry.ts";
import type { Examiner, ExamineStatistics } from "./examine.ts";
import type { Options } from "./options.ts";
import { countAfter, showProgress } from "./progress.ts";
import { examineAll, find, type Flow, saveAll } from "./stages.ts";
import type { Store } from "./store.ts";
import { Tally } from "./tally.ts";
import type { Tree } from "./tree.ts";

/** How many files go through the pipeline together. */
const HANDFUL = 50;
/** No file waits longer than this to be saved, however slowly others follow. */
const SAVE_WITHIN_MS = 250;
/** Counting costs something, too: only a run that takes longer than this is worth it. */
const COUNT_AFTER_MS = 2_000;

/** What the pipeline works with. */
export interface Parts {
  readonly options: Options;
  readonly tree: Tree;
  readonly store: Store;
  readonly examiner: Examiner;
}

/** When to end. */
export interface Signals {
  /** Find nothing new; finish and save what is in work. */
  readonly stopping: AbortSignal;
  /** End now. */
  readonly signal: AbortSignal;
}

/** What a run came to. */
export interface Summary {
  readonly tally: Tally;
  /** Whether everything was seen. */
  readonly complete: boolean;
  /** How many vanished files were taken out of the catalogue. */
  readonly removed: number;
  readonly ms: number;
  readonly examined: ExamineStatistics;
  readonly batches: AsyncBatcherStatistics;
  readonly group: GroupStatistics;
  /** How many files went through the pipeline together, at most. */
  readonly handful: number;
  readonly channels: readonly (ChannelStatistics & { readonly name?: string })[];
}

/**
 * Catalogues everything, or what there is time for.
 *
 * @throws The reason of `signal`, unchanged. What was examined by then is saved.
 */
export async function runPipeline(parts: Parts, { stopping, signal }: Signals): Promise<Summary> {
  const { options: { concurrency, batchSize }, tree, store, examiner } = parts;
  const begun = performance.now();
  const tally = new Tally();
  const found = new Channel<readonly Question[]>({ name: "found", capacity: concurrency });
  const examined = new Channel<readonly Outcome[]>({ name: "examined", capacity: concurrency });
  const handful = Math.min(HANDFUL, batchSize);
  const maxSize = Math.floor(batchSize / handful);
  await using batches = new AsyncBatcher<readonly Outcome[], true>(async (handfuls) => {
    await store.save(handfuls.flat());
    return handfuls.map(() => true);
  }, { name: "save", maxSize, maxWaitMs: SAVE_WITHIN_MS });

  const flow: Flow = { tally, found, examined, batches, handful, stopping };
  const group = await TaskGroup.run((group) => {
    group.spawn(({ signal }) => find(tree, store, flow, signal), { name: "find" });
    group.spawn(({ signal }) => examineAll(examiner, flow, { concurrency, signal }), { name: "examine" });
    group.spawn(({ signal }) => saveAll(flow, { unsaved: maxSize, signal }), { name: "save" });
    // Daemons end when the others have.
    group.spawn(({ signal }) => showProgress(tally, stopping, signal), { name: "progress", daemon: true });
    group.spawn(({ signal }) => countAfter(COUNT_AFTER_MS, tree, tally, signal), {
      name: "count",
      daemon: true,
    });
    return group;
  }, { name: "catalogue", signal });

  const complete = !stopping.aborted;
  return {
    tally,
    complete,
    removed: await store.endRun(complete),
    ms: performance.now() - begun,
    examined: examiner.statistics(),
    batches: batches.statistics(),
    group: group.statistics(),
    handful,
    channels: [found, examined].map((channel) => ({ name: channel.name, ...channel.statistics() })),
  };
}
