/** The one list of everything that waits: each file of the folder `_waiting` has a part of it. */
import { readdir } from "node:fs/promises";
import type { Operation, WaitingFile } from "./_scene.ts";

const folder = new URL("_waiting/", import.meta.url);
// Beside the compiled files lie the sources they were made of.
const ending = new URL(import.meta.url).pathname.endsWith(".ts") ? ".ts" : ".js";

/** Every operation there is a scene for, and what is in none with the reason. */
export async function waitingOperations(): Promise<{ operations: Operation[]; still: Map<string, string> }> {
  const operations: Operation[] = [];
  const still = new Map<string, string>();
  for (const file of (await readdir(folder)).filter((file) => file.endsWith(ending)).sort()) {
    const part = await import(new URL(file, folder).href) as WaitingFile;
    operations.push(...part.operations);
    for (const [name, reason] of Object.entries(part.still)) still.set(name, reason);
  }
  return { operations, still };
}
