/**
 * Measures the catalogue on the runtime that runs this: `measure.ts <folder>...`.
 *
 * Time and peak memory of a first run over each folder, and the time of `sha256sum` over the same files right after
 * it; the best of three. Needs Linux, as the peak is what the kernel says.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROUNDS = 3;
const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const runtime = process.versions.deno
  ? [process.execPath, "run", "-A", main]
  : process.versions.bun
  ? [process.execPath, main]
  : [process.execPath, "--disable-warning=ExperimentalWarning", main];

/** Runs a command to its end; says how long it took and how much memory it had at most. */
async function time(command: readonly string[], cwd?: string): Promise<{ ms: number; peakMiB: number }> {
  const began = performance.now();
  const child = spawn(command[0]!, command.slice(1), { cwd, stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (text) => complaint += text);
  let peakMiB = 0;
  const look = setInterval(async () => {
    const status = await readFile(`/proc/${child.pid}/status`, "utf8").catch(() => "");
    peakMiB = Math.max(peakMiB, Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0) / 1024);
  }, 10);
  const code = await new Promise((resolve) => child.on("close", resolve));
  clearInterval(look);
  if (code !== 0) {
    throw new Error(`Cannot measure ${command.join(" ")}: it exited with ${code}\n${complaint}`);
  }
  return { ms: performance.now() - began, peakMiB };
}

const { deno, bun, node } = process.versions;
console.log(deno ? `Deno ${deno}` : bun ? `Bun ${bun}` : `Node ${node}`);
const scratch = await mkdtemp(join(tmpdir(), "catalogue-measure-"));
try {
  for (const folder of process.argv.slice(2)) {
    const ours: Awaited<ReturnType<typeof time>>[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const database = join(scratch, "catalogue.db");
      ours.push(await time([...runtime, folder, "--db", database]));
      const hash = "find . -type f -print0 | xargs -0 -P 2 sha256sum > /dev/null";
      theirs.push((await time(["sh", "-c", hash], folder)).ms);
      await rm(database);
    }
    const [ms, hashMs] = [Math.min(...ours.map(({ ms }) => ms)), Math.min(...theirs)];
    console.log(
      `  ${folder}: ${(ms / 1000).toFixed(2)} s, sha256sum ${(hashMs / 1000).toFixed(2)} s, ` +
        `ratio ${(ms / hashMs).toFixed(2)}; peak ${
          Math.max(...ours.map(({ peakMiB }) => peakMiB)).toFixed(0)
        } MiB`,
    );
  }
} finally {
  await rm(scratch, { recursive: true });
}
