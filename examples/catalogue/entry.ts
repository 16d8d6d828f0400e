/** What is known about one path. Only types: shared by the threads and the rest. */

/** What tells whether a file has changed. */
export interface Stamp {
  readonly size: number;
  /** When it was last modified, in whole milliseconds since 1970: as fine as all runtimes tell it. */
  readonly mtimeMs: number;
}

/** What the catalogue says about one path. */
export interface Entry extends Stamp {
  /** Relative to the root, with `/` between its parts. */
  readonly path: string;
  /** `"other"`: a pipe, socket or device, which is not opened. */
  readonly kind: "file" | "link" | "other";
  /** The SHA-256 of its content in hex; `null` for all but files. */
  readonly sha256: string | null;
  /** Where a symbolic link points to. */
  readonly target: string | null;
}

/** A path to look at, and what was known about it before. */
export interface Question {
  readonly path: string;
  readonly known: Stamp | undefined;
}

/** A path that was examined, and how long that took. */
export interface Read {
  readonly is: "read";
  readonly entry: Entry;
  readonly ms: number;
}

/** What was found out about a path: that it is as it was, that it is too large to be read in one go, or all of it. */
export type Answer = { readonly is: "unchanged" } | { readonly is: "large"; readonly stamp: Stamp } | Read;
