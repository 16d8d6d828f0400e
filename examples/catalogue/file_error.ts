/** Why a file can't be catalogued: the same on all runtimes, and from all threads. */

/** A failure on its way between threads, where an error would lose its code. */
export interface Refusal {
  /** The system's code, such as `EACCES`. */
  readonly code: string;
  readonly message: string;
}

/** A path could not be read. */
export class FileError extends Error {
  static {
    this.prototype.name = "FileError";
  }
  /** The system's code, such as `EACCES`, or `ECHANGED`. */
  readonly code: string;

  constructor({ code, message }: Refusal) {
    super(message);
    this.code = code;
  }
}

/** The file is not as long as it was said to be. */
export const CHANGED: Refusal = { code: "ECHANGED", message: "it changed while it was read" };

/** The name can't be told, so that the path can't be opened. */
const NOT_UTF8: Refusal = { code: "EILSEQ", message: "its name is not valid UTF-8" };

/** What passes by itself: too many open files, somebody else at work on it, a call that was interrupted. */
const passing = new Set(["EMFILE", "ENFILE", "EBUSY", "EAGAIN", "EINTR", "ETXTBSY", CHANGED.code]);

const words: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOENT: "it vanished",
  ENOTDIR: "it vanished",
  ELOOP: "a symbolic link took its place",
  EMFILE: "too many open files",
  ENFILE: "too many open files",
  EIO: "the disk could not read it",
  ENAMETOOLONG: "its name is too long",
};

/** Whether it is worth trying again. */
export function isTransient(error: unknown): boolean {
  return passing.has(refusalOf(error).code);
}

/**
 * Why a path can't be read. A name that is not valid UTF-8 comes with another character in the place of what could
 * not be decoded: by that name the system does not find it.
 */
export function refusalAt(path: string, error: unknown): Refusal {
  const refusal = refusalOf(error);
  return refusal.code === "ENOENT" && path.includes("\ufffd") ? NOT_UTF8 : refusal;
}

/** An error as code and reason, for a person and for another thread. */
export function refusalOf(error: unknown): Refusal {
  const { code, name, message } = error as { code?: unknown; name?: string; message?: string };
  const known = typeof code === "string" ? code : name ?? "UNKNOWN";
  return { code: known, message: words[known] ?? message ?? String(error) };
}
