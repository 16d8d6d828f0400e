/**
 * Catalogues a folder tree into an SQLite database.
 *
 * A tour of the library, from the outside in: an application that signals end in order (here), a pipeline of tasks and
 * channels (`pipeline.ts`, `stages.ts`), limits and retries around each file (`examine.ts`), threads that can be
 * awaited (`thread.ts`), and transactions (`store.ts`).
 *
 * @module
 */
import { runApplication } from "@uno/async/app";
import process from "node:process";
import { Examiner } from "./examine.ts";
import { findings } from "./findings.ts";
import { readOptions, usage, UserError } from "./options.ts";
import { runPipeline } from "./pipeline.ts";
import { findPlaces } from "./places.ts";
import { report } from "./report.ts";
import { Store } from "./store.ts";
import { Tree } from "./tree.ts";

/** How long a Ctrl-C waits for what is in work. */
const GRACE_MS = 10_000;
/** How many duplicates and failures are shown. */
const SHOWN = 10;

await runApplication(async (app) => {
  const options = readOptions(process.argv.slice(2));
  if (options === "help") return console.log(usage);
  const places = await findPlaces(options);
  app.signal.throwIfAborted();

  // The application closes what it opened, in reverse, however it ends.
  const [store, tree, examiner] = await Promise.all([
    app.use("database", () => Store.open(places.database, places.root)),
    app.use("tree", () => new Tree(places)),
    app.use("examiner", () => new Examiner(places.root, options)),
  ]);
  app.signal.throwIfAborted(); // Stopped while it started: nothing to say, as nothing was begun.

  // `app.signal` says that it is time to stop; the signal of a task says that the time for that is over.
  const run = app.tasks.spawn("catalogue", ({ signal }) => {
    return runPipeline({ options, tree, store, examiner }, { stopping: app.signal, signal });
  });
  const summary = await run;
  console.log(report(summary, await findings(store.database, { show: SHOWN }), places));
}, {
  name: "catalogue",
  graceMs: GRACE_MS,
  // What the user can mend is told in a line; anything else is a bug, and told with its stack.
  describeError: (error) =>
    error instanceof UserError ? `error: ${error.message}` : (error as Error).stack ?? `${error}`,
});
