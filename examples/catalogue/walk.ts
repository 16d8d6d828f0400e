/** What there is: the tree below a folder, as a stream. */
import { Thread } from "./thread.ts";
import type { Found } from "./walk_thread.ts";

/**
 * Finds everything below a folder that is not itself a folder, without following symbolic links.
 *
 * A thread walks one step ahead of what is asked for, and no further: whoever iterates is the back-pressure.
 *
 * @param root The folder.
 * @param skip Paths, relative to the root, that are left out.
 * @throws The reason of `signal`, unchanged.
 */
export async function* walk(
  { root, skip }: { root: string; skip: ReadonlySet<string> },
  { signal }: { signal: AbortSignal },
): AsyncGenerator<Found, void, void> {
  await using thread = new Thread<null, Found | null>(new URL("./walk_thread.ts", import.meta.url), {
    root,
    skip,
  });
  let next = thread.ask(null, signal);
  for (let found = await next; found !== null; found = await next) {
    next = thread.ask(null, signal);
    next.catch(() => {}); // It is awaited later, or never.
    yield found;
  }
}
