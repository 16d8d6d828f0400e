/**
 * The three stages of the pipeline: each one receives from a channel, and closes the next one when it is done.
 *
 * What flows are handfuls. A channel, a task, a message to a thread cost a few microseconds, and so does a small file.
 */
import type { AsyncBatcher } from "@uno/async/flow";
import type { Channel } from "@uno/async/sync";
import { TaskGroup } from "@uno/async/task";
import type { Outcome, Question } from "./entry.ts";
import type { Examiner } from "./examine.ts";
import { FileError } from "./file_error.ts";
import type { Store } from "./store.ts";
import type { Tally } from "./tally.ts";
import type { Tree } from "./tree.ts";

/** What flows from stage to stage, and what ends it. */
export interface Flow {
  readonly tally: Tally;
  readonly found: Channel<readonly Question[]>;
  readonly examined: Channel<readonly Outcome[]>;
  readonly batches: AsyncBatcher<readonly Outcome[], true>;
  /** How many paths make a handful. */
  readonly handful: number;
  readonly stopping: AbortSignal;
}

/** Walks the tree, and asks the catalogue what it knows of what is there. */
export async function find(
  tree: Tree,
  store: Store,
  { tally, found, examined, handful, stopping }: Flow,
  signal: AbortSignal,
): Promise<void> {
  for await (const { paths, unreadable } of tree.walk(signal)) {
    if (stopping.aborted) return found.close();
    tally.found += paths.length + unreadable.length;
    if (unreadable.length > 0) {
      await examined.send(
        unreadable.map((why) => ({ is: "failed", path: why.path, error: new FileError(why) })),
        {
          signal,
        },
      );
    }
    const known = await store.known(paths);
    for (let i = 0; i < paths.length; i += handful) {
      const questions = paths.slice(i, i + handful).map((path) => ({ path, known: known.get(path) }));
      await found.send(questions, { signal });
    }
  }
  tally.expected = tally.found;
  found.close();
}

/** Examines what was found, several handfuls at once. */
export async function examineAll(
  examiner: Examiner,
  { found, examined, stopping }: Flow,
  { concurrency, signal }: { concurrency: number; signal: AbortSignal },
): Promise<void> {
  await TaskGroup.run((group) => {
    // Twice as many as files may be open: one that pauses before it tries again holds up nobody.
    for (let i = 1; i <= 2 * concurrency; i++) {
      group.spawn(async ({ signal }) => {
        for await (const questions of found.values({ signal })) {
          if (stopping.aborted) continue; // Left for the next run.
          for await (const outcomes of examiner.examine(questions, signal)) {
            await examined.send(outcomes, { signal });
          }
        }
      }, { name: `examine/${i}` });
    }
  }, { name: "examine", signal });
  examined.close();
}

/** Hands what was examined to the batcher: not waiting for each handful to be saved, but for all in the end. */
export async function saveAll(
  { tally, examined, batches }: Flow,
  { unsaved, signal }: { unsaved: number; signal: AbortSignal },
): Promise<void> {
  await TaskGroup.run(async (group) => {
    for await (const outcomes of examined.values({ signal })) {
      await group.capacity();
      group.spawn(async () => {
        await batches.add(outcomes);
        tally.add(outcomes);
      });
    }
    // The last batch has nobody to wait for.
    await batches.flush();
  }, { name: "save", signal, maxConcurrency: unsaved });
}
