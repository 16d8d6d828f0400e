/** What is known about a path, on its way through the pipeline. Only types. */

/** What tells whether a file has changed. */
export interface Stamp {
  readonly size: number;
  /** When it was last modified, in whole milliseconds since 1970: as fine as all runtimes tell it. */
  readonly mtimeMs: number;
}

/** What was found, and what the catalogue knew about it before. */
export interface Question {
  /** Relative to the root, with `/` between its parts. */
  readonly path: string;
  readonly known: Stamp | undefined;
}

/** What the catalogue says about a path. */
export interface Entry extends Stamp {
  readonly path: string;
  /** `"other"`: a pipe, socket or device, which is not opened. */
  readonly kind: "file" | "link" | "other";
  /** The SHA-256 of its content in hex; `null` for all but files. */
  readonly sha256: string | null;
  /** Where a symbolic link points to. */
  readonly target: string | null;
}

/** What became of a path. */
export type Outcome =
  | { readonly is: "read"; readonly entry: Entry; readonly ms: number }
  | { readonly is: "unchanged"; readonly path: string }
  | { readonly is: "failed"; readonly path: string; readonly error: unknown };
