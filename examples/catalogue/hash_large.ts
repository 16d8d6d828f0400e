/** The second part of the pipeline, for the few large files: read piece by piece. */
import { timeout } from "@uno/async/cancel";
import { Limiter, type LimiterStatistics } from "@uno/async/flow";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Read, Stamp } from "./entry.ts";
import { FileError } from "./file_error.ts";

const PIECE = 1 << 19;
const READ = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** Hashes large files, a few at a time: each one needs a buffer, and more of them would not make a disk faster. */
export class LargeFiles {
  readonly #root: string;
  readonly #idleMs: number;
  readonly #limiter: Limiter;
  readonly #buffers: Buffer[] = [];

  constructor(root: string, { concurrency, idleMs }: { concurrency: number; idleMs: number }) {
    this.#root = root;
    this.#idleMs = idleMs;
    this.#limiter = new Limiter({ name: "large files", limit: Math.min(4, concurrency) });
  }

  /**
   * Reads one file.
   *
   * @param stamp What it was when it was looked at.
   * @throws {FileError} When it is not as long as that any more.
   * @throws {TimeoutError} When no piece comes for as long as `idleMs`.
   * @throws The reason of `signal`, unchanged.
   */
  read(path: string, stamp: Stamp, { signal }: { signal: AbortSignal }): Promise<Read> {
    return this.#limiter.run(async () => {
      const begun = performance.now();
      const buffer = this.#buffers.pop() ?? Buffer.allocUnsafe(PIECE);
      const sha256 = await timeout(this.#idleMs, (scope) => {
        return hashOf(join(this.#root, path), stamp, buffer, () => {
          scope.signal.throwIfAborted();
          scope.touch(); // However large the file is: the limit is on not getting on.
        });
      }, { signal, idle: true, operation: "read file" });
      // Not when that failed: a read that nobody waits for may still be writing into it.
      this.#buffers.push(buffer);
      const entry = { path, kind: "file" as const, ...stamp, sha256, target: null };
      return { is: "read", entry, ms: performance.now() - begun };
    }, { signal });
  }

  /** What the limiter did. */
  statistics(): LimiterStatistics {
    return this.#limiter.statistics();
  }
}

async function hashOf(file: string, { size }: Stamp, buffer: Buffer, gotOn: () => void): Promise<string> {
  const handle = await open(file, READ);
  try {
    const sha256 = createHash("sha256");
    let length = 0;
    for (let more = 1; more > 0; length += more) {
      gotOn();
      more = (await handle.read(buffer, 0, buffer.length, null)).bytesRead;
      sha256.update(buffer.subarray(0, more));
    }
    if (length !== size) throw new FileError("ECHANGED", "it changed while it was read");
    return sha256.digest("hex");
  } finally {
    await handle.close();
  }
}
