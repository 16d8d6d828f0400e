/**
 * Runs in a thread of its own: walks the tree, a handful of paths for each message.
 *
 * The folders are read as streams, with synchronous calls: those cost half of what asynchronous ones do, and nobody
 * is kept waiting by them here. In memory are a handful of paths and the folders that still have to be read.
 */
import { opendirSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { collect } from "./collect.ts";
import { type Refusal, refusalAt } from "./file_error.ts";

/** What the thread is asked for: the next paths, or only how many come next, on a walk of their own. */
export type Request = "paths" | "count";

/** A part of what there is; paths are relative to the root, with `/` between their parts. */
export interface Found {
  readonly paths: string[];
  /** Folders that could not be read; `.` is the root. */
  readonly unreadable: (Refusal & { readonly path: string })[];
}

/** The answer; `null` at the end of the walk. */
export type Reply<R extends Request> = (R extends "paths" ? Found : number) | null;

const PATHS = 250;
let messages = 0;
const { root, skip } = workerData as { root: string; skip: ReadonlySet<string> };
const walks = { paths: walk(), count: walk() };

parentPort!.on("message", (request: Request) => {
  const { value } = walks[request].next();
  parentPort!.postMessage(value === undefined ? null : request === "paths" ? value : sizeOf(value));
  if (++messages % 50 === 0) collect();
});

function sizeOf({ paths, unreadable }: Found): number {
  return paths.length + unreadable.length;
}

function* walk(): Generator<Found, void, void> {
  const folders = [""];
  let found: Found = { paths: [], unreadable: [] };
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const within: string[] = [];
    try {
      const entries = opendirSync(folder === "" ? root : `${root}/${folder}`, { bufferSize: 256 });
      try {
        for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
          const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
          if (entry.isDirectory()) within.push(path);
          else if (!skip.has(path)) found.paths.push(path);
          if (found.paths.length < PATHS) continue;
          yield found;
          found = { paths: [], unreadable: [] };
        }
      } finally {
        entries.closeSync();
      }
    } catch (error) {
      found.unreadable.push({ path: folder || ".", ...refusalAt(folder, error) });
    }
    // The first one on top: depth first, so that few are waiting.
    for (let i = within.length; i > 0; i--) folders.push(within[i - 1]!);
  }
  yield found;
}
