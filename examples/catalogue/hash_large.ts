/** The content of large files, piece by piece. */
import type { TimeoutScope } from "@uno/async/cancel";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { READ_ONLY } from "./file_access.ts";
import { CHANGED, FileError } from "./file_error.ts";

const PIECE = 1 << 18;
/** Buffers that are not in use: as many as files were ever open at once. */
const buffers: Buffer[] = [];

/**
 * Hashes a file.
 *
 * @param size How long it is.
 * @param limit Its signal ends the reading; it is touched at every piece.
 * @returns The SHA-256 in hex.
 * @throws {FileError} When the file is not that long any more.
 * @throws The reason of the signal, unchanged.
 */
export async function hashPieces(file: string, size: number, limit: TimeoutScope): Promise<string> {
  const handle = await open(file, READ_ONLY);
  const buffer = buffers.pop() ?? Buffer.allocUnsafe(PIECE);
  try {
    const sha256 = createHash("sha256");
    let length = 0;
    for (let more = 1; more > 0; length += more) {
      limit.signal.throwIfAborted();
      limit.touch();
      more = (await handle.read(buffer, 0, PIECE, null)).bytesRead;
      sha256.update(buffer.subarray(0, more));
    }
    if (length !== size) throw new FileError(CHANGED);
    return sha256.digest("hex");
  } finally {
    buffers.push(buffer);
    await handle.close();
  }
}
