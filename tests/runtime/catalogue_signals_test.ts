import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type End, Run, run } from "./_fixtures/catalogue_run.ts";
import { type Catalogued, hashesOf, read, Scratch } from "./_fixtures/catalogue_tree.ts";

const MOMENTS = 20;
const FILES = 1_200;
/** Many small transactions, one file after the other: many places at which to be interrupted. */
const fine = ["--concurrency", "1", "--batch", "10"];

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Waits until so much was saved, or the run is over. */
async function saved(database: string, bytes: number, running: Run): Promise<void> {
  let over = false;
  void running.ended.then(() => over = true);
  while (!over && await sizeOf(`${database}-wal`) < bytes) await pause(1);
}

describe("the catalogue, interrupted", () => {
  it(
    "saves what is done at SIGINT, exits with 130, and goes on from there",
    { timeout: 60_000 },
    async () => {
      using scratch = await Scratch.make();
      await scratch.fill(FILES);
      await using running = new Run([scratch.tree, "--db", scratch.database, ...fine]);
      await saved(scratch.database, 100_000, running);
      running.send("SIGINT");
      const { by, out, err } = await running.ended;
      assert.equal(by, 130, err);
      assert.match(out, /^interrupted after .*\nwhat was read is saved; run it again/);
      assert.equal(err, "");
      const { hashes } = await read(scratch.database);
      assert.ok(hashes.size > 0 && hashes.size < FILES, `${hashes.size} files`);
      // It has said the truth, and closed the database in order.
      assert.match(out, new RegExp(`: ${hashes.size.toLocaleString("en")} files? read`));
      assert.equal(existsSync(`${scratch.database}-wal`), false);

      const again = await run(scratch.tree, "--db", scratch.database);
      assert.equal(again.by, 0, again.err);
      assert.match(
        again.out,
        new RegExp(`${hashes.size.toLocaleString("en")} unchanged and skipped, 0 vanished`),
      );
      assert.deepEqual((await read(scratch.database)).hashes, await hashesOf(scratch.tree));
    },
  );

  it("does the same at SIGTERM, and exits with 143", { timeout: 60_000 }, async () => {
    using scratch = await Scratch.make();
    await scratch.fill(FILES);
    await using running = new Run([scratch.tree, "--db", scratch.database, ...fine]);
    await saved(scratch.database, 100_000, running);
    running.send("SIGTERM");
    const { by, out, err } = await running.ended;
    assert.equal(by, 143, err);
    assert.match(out, /^interrupted/);
    const { hashes } = await read(scratch.database);
    assert.ok(hashes.size > 0 && hashes.size < FILES, `${hashes.size} files`);
  });

  it(
    "takes two SIGINT within 100 ms for one, and ends at once at a second one",
    { timeout: 60_000 },
    async () => {
      using scratch = await Scratch.make();
      await scratch.fill(500);
      // A file that takes longer than the grace: the zeros take no place on the disk.
      await writeFile(join(scratch.tree, "huge"), "");
      await truncate(join(scratch.tree, "huge"), 2 ** 37);
      await using running = new Run([scratch.tree, "--db", scratch.database, "--batch", "10"]);
      await saved(scratch.database, 50_000, running);
      while ((await read(scratch.database)).hashes.size < 500) await pause(20);
      running.send("SIGINT");
      // However busy the machine is, the second one comes soon.
      await new Promise((resolve) => setImmediate(resolve));
      running.send("SIGINT");
      let over = false;
      void running.ended.then(() => over = true);
      await pause(500);
      assert.equal(over, false, "it waits for the file");
      const sent = performance.now();
      running.send("SIGINT");
      const { by, err } = await running.ended;
      assert.equal(by, 130, err);
      assert.match(err, /ended by a second signal \(SIGINT\).*"catalogue"/);
      assert.ok(performance.now() - sent < 2_000, "at once");
      assert.equal((await read(scratch.database)).hashes.size, 500);
    },
  );

  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    const promise =
      `leaves whole batches at ${MOMENTS} random moments of ${signal}, and completes in the next run`;
    it(promise, { timeout: 300_000 }, async () => {
      using scratch = await Scratch.make();
      await scratch.fill(FILES);
      const hashes = await hashesOf(scratch.tree);
      const random = sequence(signal === "SIGINT" ? 1 : 2);
      const whole = await measure(scratch);

      let midway = 0;
      const moments = Array.from({ length: MOMENTS }, (_, i) => ({ i, at: random() }));
      const interrupt = async ({ i, at }: { i: number; at: number }) => {
        const database = join(scratch.folder, `${i}.db`);
        await using running = new Run([scratch.tree, "--db", database, ...fine]);
        // Every fourth at any time from the very start; the others when so much was saved.
        if (i % 4 === 0) await pause(at * whole.ms);
        else await saved(database, at * whole.bytes, running);
        running.send(signal);
        const end = await running.ended;
        const what = `moment ${i} at ${at.toFixed(3)}: ${JSON.stringify(end)}`;
        assert.ok(expected(signal, end), what);
        if (existsSync(database)) {
          const left = await readLeft(database, what);
          for (const [path, sha256] of left.hashes) assert.equal(sha256, hashes.get(path), what);
          if (left.hashes.size > 0 && left.hashes.size < FILES) midway++;
        }
        const next = await run(scratch.tree, "--db", database, "--concurrency", "1");
        assert.equal(next.by, 0, what + next.err);
        assert.deepEqual((await read(database)).hashes, hashes, what);
      };
      // Two at a time.
      const both = await Promise.allSettled([0, 1].map(async () => {
        for (let next = moments.shift(); next !== undefined; next = moments.shift()) await interrupt(next);
      }));
      for (const each of both) if (each.status === "rejected") throw each.reason;
      assert.ok(midway >= MOMENTS / 4, `${midway} of ${MOMENTS} were interrupted midway`);
    });
  }
});

/** How long a whole run takes, and how much it saves. */
async function measure(scratch: Scratch): Promise<{ ms: number; bytes: number }> {
  const database = join(scratch.folder, "whole.db");
  const began = performance.now();
  let [over, bytes] = [false, 0];
  await using running = new Run([scratch.tree, "--db", database, ...fine]);
  void running.ended.then(() => over = true);
  for (; !over; await pause(1)) bytes = Math.max(bytes, await sizeOf(`${database}-wal`));
  assert.equal((await running.ended).by, 0);
  return { ms: performance.now() - began, bytes };
}

function sizeOf(file: string): Promise<number> {
  return stat(file).then(({ size }) => size, () => 0);
}

/** Reads what a run has left behind; of a run that was interrupted before it had made its tables, that is nothing. */
async function readLeft(database: string, what: string): Promise<Pick<Catalogued, "hashes">> {
  // A copy: looking at it must not be what puts it in order for the next run.
  const copy = `${database}.copy`;
  for (const end of ["", "-wal"]) {
    if (existsSync(database + end)) await copyFile(database + end, copy + end);
  }
  try {
    return await read(copy);
  } catch (error) {
    if (/no such table: files/.test(String(error))) return { hashes: new Map() };
    throw new Error(`Cannot read the catalogue after ${what}`, { cause: error });
  }
}

/** Whether a run that got the signal at some moment may end like this. */
function expected(signal: "SIGINT" | "SIGKILL", { by, err }: End): boolean {
  // Where it takes long, it says how far it is.
  if (!/^(found \d+, \d+ done, .*\n)*$/.test(err)) return false;
  // It was over before, or the signal came before the application listened.
  return by === 0 || by === signal || (signal === "SIGINT" && by === 130);
}

/** Numbers from 0 to 1, always the same ones (mulberry32). */
function sequence(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
