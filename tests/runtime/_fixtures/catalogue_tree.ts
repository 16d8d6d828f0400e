/** Folder trees to be catalogued, and what must be in the catalogue afterwards. */
import { Database, type Transaction } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, realpath, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder of its own for a test: `tree` to be catalogued, and room for databases beside it. */
export class Scratch implements Disposable {
  readonly folder: string;
  readonly tree: string;
  readonly database: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.tree = join(folder, "tree");
    this.database = join(folder, "catalogue.db");
  }

  static async make(): Promise<Scratch> {
    const scratch = new Scratch(await realpath(await mkdtemp(join(tmpdir(), "uno-async-catalogue-test-"))));
    await mkdir(scratch.tree);
    return scratch;
  }

  /** Writes a file below the tree. */
  async write(path: string, content: string | Uint8Array): Promise<void> {
    const file = join(this.tree, path);
    await mkdir(join(file, ".."), { recursive: true });
    await writeFile(file, content);
  }

  /** Writes many small files, in folders of fifty. */
  async fill(files: number): Promise<void> {
    for (let i = 0; i < files; i++) {
      await this.write(`part${Math.floor(i / 50)}/file${i}`, `content ${i}`.repeat(i % 97));
    }
  }

  [Symbol.dispose](): void {
    // Not the runtime's own: there may be paths in it that are too long for that.
    execFileSync("rm", ["-rf", this.folder]);
  }
}

/** The SHA-256 of every file below a folder, by path: read in the plainest way. */
export async function hashesOf(folder: string): Promise<Map<string, string>> {
  const hashes = new Map<string, string>();
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      for (const [within, sha256] of await hashesOf(path)) hashes.set(`${entry.name}/${within}`, sha256);
    } else if (entry.isFile()) {
      hashes.set(entry.name, createHash("sha256").update(await readFile(path)).digest("hex"));
    }
  }
  return hashes;
}

/** What a catalogue holds. */
export interface Catalogued {
  /** The SHA-256 of every file, by path. */
  readonly hashes: Map<string, string>;
  /** Everything in it, by path. */
  readonly rows: Map<
    string,
    { kind: string; size: number; mtime_ms: number; target: string | null; batch: number }
  >;
  readonly batches: number;
  readonly failures: readonly { path: string; code: string; reason: string }[];
}

/**
 * Reads a catalogue, as it is at one moment while it may be written, and sees to it that it is sound: SQLite finds no
 * fault, and every batch is whole.
 */
export async function read(file: string): Promise<Catalogued> {
  await using database = new Database(sqliteDriver({ file }), { name: "catalogue" });
  return await database.transaction(catalogued, { readOnly: true });
}

async function catalogued(tx: Transaction): Promise<Catalogued> {
  const all = async <R>(sql: string) => (await tx.query<R>(sql)).rows;
  assert.deepEqual(
    (await all<{ integrity_check: string }>("pragma integrity_check")).map((row) => ({ ...row })),
    [
      { integrity_check: "ok" },
    ],
  );
  const files = await all<
    {
      path: string;
      kind: string;
      size: number;
      mtime_ms: number;
      sha256: string;
      target: string | null;
      batch: number;
    }
  >(
    "select * from files",
  );
  const batches = await all<{ id: number; files: number }>("select id, files from batches");
  const counted = new Map<number, number>();
  for (const { batch } of files) counted.set(batch, (counted.get(batch) ?? 0) + 1);
  for (const { id, files } of batches) assert.equal(counted.get(id) ?? 0, files, `batch ${id} is whole`);
  assert.ok(
    [...counted.keys()].every((id) => batches.some((batch) => batch.id === id)),
    "every file has its batch",
  );
  return {
    hashes: new Map(files.filter(({ kind }) => kind === "file").map(({ path, sha256 }) => [path, sha256])),
    rows: new Map(files.map(({ path, ...row }) => [path, row])),
    batches: batches.length,
    failures: await all("select path, code, reason from failures order by path"),
  };
}
