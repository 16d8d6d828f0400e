/** Why a file can't be catalogued, the same on all runtimes and from all threads. */
export class FileError extends Error {
  static {
    this.prototype.name = "FileError";
  }
  /** The system's code, such as `EACCES`, or `ECHANGED`. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What passes by itself: too many open files, somebody else at work on it, a call that was interrupted. */
const passing = new Set(["EMFILE", "ENFILE", "EBUSY", "EAGAIN", "EINTR", "ETXTBSY", "ECHANGED"]);

/** Whether it is worth trying again. */
export function isTransient(error: unknown): boolean {
  return passing.has(codeOf(error));
}

/** The system's code for an error, or its name. */
export function codeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : String(name ?? error);
}

const words: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOENT: "it vanished",
  ENOTDIR: "it vanished",
  ELOOP: "a symbolic link took its place",
  EMFILE: "too many open files",
  ENFILE: "too many open files",
  EIO: "it can't be read",
  ENAMETOOLONG: "its name is too long",
};

/** A reason that a person can read. */
export function reasonFor(error: unknown): string {
  return words[codeOf(error)] ?? (error instanceof Error ? error.message : String(error));
}
