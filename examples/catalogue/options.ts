/** What the user asks for: the command line, read and checked. */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";

/** Something that the user can mend. Shown as one line, without a stack. */
export class UserError extends Error {
  static {
    this.prototype.name = "UserError";
  }
}

/** The command line, checked. */
export interface Options {
  /** The folder to catalogue, as it was written. */
  readonly folder: string;
  /** The database file, as it was written; `undefined` for one in the user's cache folder. */
  readonly db: string | undefined;
  /** How many files may be open at once. */
  readonly concurrency: number;
  /** How many files are saved in one transaction. */
  readonly batchSize: number;
  /** How long one file may take, in milliseconds; a large one: without getting on. */
  readonly fileTimeoutMs: number;
}

/** The text of `--help`. */
export const usage = `Catalogues a folder tree: path, size, modification time and SHA-256 of every file.

usage: deno task demo [folder] [options]
       node examples/catalogue/main.ts [folder] [options]
       bun examples/catalogue/main.ts [folder] [options]

  folder               the folder to catalogue (default: the current one)
  --db <file>          the SQLite database (default: one for each folder, in the user's cache folder)
  --concurrency <n>    how many files may be open at once, 1 to 1024 (default: twice the processors)
  --batch <n>          how many files are saved in one transaction at most, 1 to 10000 (default: 500)
  --timeout <seconds>  how long a file may take before it is given up (default: 60)
  -h, --help           show this

Symbolic links are recorded, not followed. A second run reads only what has changed.
Ctrl-C saves what is done and ends; the next run goes on from there. A second Ctrl-C ends at once.`;

/**
 * Reads the command line.
 *
 * @returns `"help"` when that is what was asked for.
 * @throws {UserError} For an option that does not exist or makes no sense.
 */
export function readOptions(args: readonly string[]): Options | "help" {
  const { values, positionals } = parse(args);
  if (values.help) return "help";
  if (values.db === "") throw new UserError("Cannot use --db without a file: write --db <file> (see --help)");
  if (positionals.includes("")) throw new UserError('Cannot catalogue "": a folder has a name (see --help)');
  if (positionals.length > 1) {
    throw new UserError(`Cannot catalogue ${positionals.length} folders at once: give one (see --help)`);
  }
  return {
    folder: positionals[0] ?? ".",
    db: values.db,
    concurrency: wholeNumber("--concurrency", values.concurrency, 1024),
    batchSize: wholeNumber("--batch", values.batch, 10_000),
    fileTimeoutMs: 1_000 * wholeNumber("--timeout", values.timeout, 86_400),
  };
}

function parse(args: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        db: { type: "string" },
        concurrency: { type: "string", default: String(2 * availableParallelism()) },
        batch: { type: "string", default: "500" },
        timeout: { type: "string", default: "60" },
        help: { type: "boolean", short: "h" },
      },
    });
    return { values, positionals };
  } catch (error) {
    // Of what the runtime says only the first sentence: the rest is advice that differs from runtime to runtime.
    const [first] = (error as Error).message.split(/\.\s|\n/);
    throw new UserError(`Cannot read the command line: ${first} (see --help)`);
  }
}

function wholeNumber(option: string, text: string, max: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (number >= 1 && number <= max) return number;
  throw new UserError(
    `Cannot use ${option} ${JSON.stringify(text)}: it must be a whole number from 1 to ${max} (see --help)`,
  );
}
