/** The three stages of the pipeline. Each one receives from a channel and closes the next one when it is done. */
import type { AsyncBatcher } from "@uno/async/flow";
import type { Channel } from "@uno/async/sync";
import { TaskGroup } from "@uno/async/task";
import type { Question } from "./entry.ts";
import type { Examiner } from "./examine.ts";
import type { Places } from "./places.ts";
import type { Outcome, Store } from "./store.ts";
import type { Tally } from "./tally.ts";
import { walk } from "./walk.ts";

/** What flows from stage to stage, and what ends it. */
export interface Flow {
  readonly tally: Tally;
  readonly found: Channel<Question>;
  readonly examined: Channel<Outcome>;
  readonly batches: AsyncBatcher<Outcome, true>;
  readonly stopping: AbortSignal;
}

/** Walks the tree, and asks the catalogue what it knows about what is there. */
export async function find(
  { places, store }: { places: Places; store: Store },
  { tally, found, examined, stopping }: Flow,
  signal: AbortSignal,
): Promise<void> {
  for await (const { paths, unreadable } of walk(places.root, places.skip)) {
    if (stopping.aborted) break;
    tally.found += paths.length + unreadable.length;
    for (const { path, error } of unreadable) await examined.send({ is: "failed", path, error }, { signal });
    const known = await store.known(paths);
    for (const path of paths) await found.send({ path, known: known.get(path) }, { signal });
  }
  found.close();
}

/** Examines what was found, many files at once. */
export async function examineAll(
  examiner: Examiner,
  { found, examined, stopping }: Flow,
  { signal, concurrency }: { signal: AbortSignal; concurrency: number },
): Promise<void> {
  await TaskGroup.run((group) => {
    // Twice as many as may have a file open: one that pauses before it tries again holds up nobody.
    for (let i = 0; i < 2 * concurrency; i++) {
      group.spawn(async ({ signal }) => {
        for await (const question of found.values({ signal })) {
          if (stopping.aborted) continue; // Left for the next run.
          await examined.send(await examiner.examine(question, { signal }), { signal });
        }
      }, { name: `examine/${i}` });
    }
  }, { name: "examine", signal });
  examined.close();
}

/** Hands the outcomes to the batcher, without waiting for each to be saved, but for all in the end. */
export async function saveAll(
  { tally, examined, batches }: Flow,
  { signal, unsaved }: { signal: AbortSignal; unsaved: number },
): Promise<void> {
  await TaskGroup.run(async (group) => {
    for await (const outcome of examined.values({ signal })) {
      await group.capacity();
      group.spawn(async () => {
        await batches.add(outcome);
        tally.add(outcome);
      });
    }
    // The last batch has no others to wait for.
    await batches.flush();
  }, { name: "save", signal, maxConcurrency: unsaved });
}
