/** Results that come too late: their caller has gone. */
import { emit } from "./observer.ts";

/** Disposes a result nobody will get, if it can be disposed; a failure of that goes to the observer. */
export function discard(value: unknown, structure: string, name?: string): void {
  void dispose(value).catch((error) => emit("dispose.failed", structure, name, { error }));
}

async function dispose(value: unknown): Promise<void> {
  // A function, too, can be disposed.
  const it = value as Partial<AsyncDisposable & Disposable> | null | undefined;
  if (typeof it?.[Symbol.asyncDispose] === "function") await it[Symbol.asyncDispose]!();
  else if (typeof it?.[Symbol.dispose] === "function") it[Symbol.dispose]!();
}
