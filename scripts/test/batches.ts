/**
 * Puts small test files together in one process of Node or one worker of Deno: to start one, and have it load the
 * library, takes more than what most of them do in it.
 *
 * @module
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

/** How many files are put together: few enough that the last process to begin has not much left to do. */
const SIZE = 20;

/** Files that look at a process as a whole, or that take long: they keep one of their own. */
const alone = /^tests\/(leaks|package|races|runtime)\//;

/**
 * Writes files that import several test files each, for the runtime to run in their place.
 *
 * Only of such as define their tests themselves: their results bear their name, and not that of the file written here.
 *
 * @param files Paths within `folder`.
 * @param into Where to write, as a folder's path; what is there is removed.
 * @returns What to run: paths of files within `folder`, and of those written, each with the files it stands for.
 */
export async function batchFiles(
  files: readonly string[],
  folder: string,
  into: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const toRun = new Map<string, readonly string[]>();
  const small: string[] = [];
  for (const file of files) {
    const source = await readFile(folder + file, "utf8");
    const own = /^(?:describe|it|test)\(/m.test(source);
    if (own && !alone.test(file)) small.push(file);
    else toRun.set(file, [file]);
  }
  await rm(into, { recursive: true, force: true });
  await mkdir(into, { recursive: true });
  // Dealt out like cards: files that lie side by side, and take long alike, come into different batches.
  const batches = Array.from({ length: Math.ceil(small.length / SIZE) }, (): string[] => []);
  for (const [i, file] of small.entries()) batches[i % batches.length]!.push(file);
  for (const [i, batch] of batches.entries()) {
    const path = `${into}batch_${i + 1}_test.mjs`;
    const imports = batch.map((file) => `import ${JSON.stringify(pathToFileURL(folder + file).href)};\n`);
    await writeFile(path, imports.join(""));
    toRun.set(path, batch);
  }
  return toRun;
}
