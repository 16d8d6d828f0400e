/**
 * Makes a folder tree to try the catalogue on: `make_tree.ts <folder> <files>`.
 *
 * Always the same one. The sizes are spread as in installed software: half of the files below 2.5 kB, one in ten above
 * 25 kB, one in a thousand above 600 kB; 12 kB on average.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { mapTasks } from "@uno/async/task";

const FILES_IN_FOLDER = 40;
const LARGEST = 1 << 22;

/** Makes the tree. */
export async function makeTree(folder: string, files: number): Promise<void> {
  const content = Buffer.alloc(2 * LARGEST);
  const random = sequence(42);
  for (let i = 0; i < content.length; i += 4) content.writeUInt32LE(Math.floor(random() * 2 ** 32), i);
  const plan = function* () {
    for (let i = 0; i < files; i++) {
      const size = Math.min(LARGEST, Math.floor(2_500 * Math.exp(1.8 * bell(random))));
      const from = Math.floor(random() * LARGEST);
      yield { i, bytes: content.subarray(from, from + size) };
    }
  };
  const write = async ({ i, bytes }: { i: number; bytes: Uint8Array }) => {
    const number = Math.floor(i / FILES_IN_FOLDER);
    const within = join(folder, `part${number % 50}`, `folder${number}`);
    if (i % FILES_IN_FOLDER === 0) await mkdir(within, { recursive: true });
    await writeFile(join(within, `file${i}.bin`), bytes);
  };
  // The first file of a folder makes it.
  for await (const _ of mapTasks(plan(), write, { concurrency: 1 }));
}

/** Numbers from 0 to 1, always the same ones (xorshift32). */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Normally distributed around 0 (Box and Muller, 1958). */
function bell(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

if (import.meta.main) {
  const [folder, files] = process.argv.slice(2);
  if (folder === undefined || !/^\d+$/.test(files ?? "")) {
    console.error("usage: make_tree.ts <folder> <number of files>");
    process.exitCode = 1;
  } else await makeTree(folder, Number(files));
}
