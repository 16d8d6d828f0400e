import { show } from "../kernel/checks.ts";
import { type Deferred, deferred, ignore } from "../kernel/deferred.ts";
import { MisuseError } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { WaitGraph } from "./_wait_graph.ts";

type Opener = (context: { signal: AbortSignal }) => unknown;

/** A resource on its way, or open. */
interface Entry {
  readonly name: string;
  readonly open: Opener;
  readonly result: Deferred<unknown>;
  state: "waiting" | "opening" | "open";
}

/** A resource that is open. */
export interface Opened {
  readonly name: string;
  readonly value: AsyncDisposable | Disposable;
}

/** Whom {@linkcode Openings} tells. */
export interface OpeningsOwner {
  /** A resource can't be opened. */
  openingFailed(error: unknown): void;
  /** Nothing is being opened any more. */
  openingsQuiet(): void;
}

/** Opens resources, each as soon as those it comes after are open: independent ones all together. */
export class Openings {
  /** What is open, in the order in which it was opened. */
  readonly opened: Opened[] = [];
  readonly #controller = new AbortController();
  readonly #entries = new Map<string, Entry>();
  readonly #waits = new WaitGraph();
  readonly #owner: OpeningsOwner;
  #opening = 0;
  #looking = false;
  #quiet: Deferred<void> | undefined;
  #discarding = false;

  constructor(owner: OpeningsOwner) {
    this.#owner = owner;
  }

  /**
   * Takes a resource in. The promise resolves with it when it is open; its rejection is told to the owner, too, and so
   * never an unhandled one.
   *
   * @throws {MisuseError} When the name is taken.
   */
  add(name: string, open: Opener, after: readonly string[]): Promise<unknown> {
    if (this.#entries.has(name)) {
      throw new MisuseError(`Cannot open ${show(name)} as names must be unique: there is one with it`);
    }
    const circle = this.#waits.circle(name, after);
    if (circle !== undefined) {
      const error = new MisuseError(
        `Cannot open ${show(name)} as no resource may come after itself: ${circle.join(" -> ")}`,
      );
      this.#owner.openingFailed(error);
      const refused = Promise.reject(error);
      refused.catch(ignore);
      return refused;
    }
    const entry: Entry = { name, open, result: deferred(), state: "waiting" };
    this.#entries.set(name, entry);
    entry.result.promise.catch(ignore);
    const lacking = after.filter((other) => this.#entries.get(other)?.state !== "open");
    if (lacking.length > 0) this.#waits.add(name, lacking);
    else this.#begin(entry);
    return entry.result.promise;
  }

  /** The names of what is in one state. */
  names(state: Entry["state"]): string[] {
    return [...this.#entries.values()].filter((entry) => entry.state === state).map(({ name }) => name);
  }

  /** How many are being opened. What waits while none is, waits for what nobody registered. */
  get opening(): number {
    return this.#opening;
  }

  /** Resolves when nothing is being opened. */
  async quiet(): Promise<void> {
    while (this.#opening > 0) await (this.#quiet ??= deferred<void>()).promise;
  }

  /** How many wait for others. */
  get waiting(): number {
    return this.#waits.size;
  }

  /** Fails what waits for a resource that nobody registered. */
  refuseUnknown(): void {
    for (const missing of this.#waits.awaited) {
      if (this.#entries.has(missing)) continue;
      for (const name of this.#waits.waitersOf(missing)) {
        const entry = this.#entries.get(name);
        if (entry?.state !== "waiting") continue; // It went with another that failed.
        const message = `Cannot open ${show(name)} after ${show(missing)}: no resource has that name`;
        this.#fail(entry, new MisuseError(message));
      }
    }
  }

  /** Does so when everything that is registered in one go is there. */
  refuseUnknownSoon(): void {
    if (this.#looking) return;
    this.#looking = true;
    Promise.resolve().then(() => {
      this.#looking = false;
      this.refuseUnknown();
    });
  }

  /** Opens nothing more: what waits is refused with `reason`, what is being opened is aborted with it. */
  stop(reason: unknown): void {
    this.#controller.abort(reason);
    for (const entry of [...this.#entries.values()]) {
      if (entry.state === "waiting") this.#drop(entry, reason);
    }
  }

  /** One of those that were open has been closed. */
  closed(resource: Opened): void {
    this.opened.splice(this.opened.lastIndexOf(resource), 1);
  }

  /** From here on, what comes open too late is disposed at once. */
  discardLate(): void {
    this.#discarding = true;
  }

  #begin(entry: Entry): void {
    entry.state = "opening";
    this.#opening++;
    // Registered first, called in a microtask: what is registered together starts together.
    Promise.resolve().then(() => this.#open(entry));
  }

  async #open(entry: Entry): Promise<void> {
    const { signal } = this.#controller;
    if (signal.aborted) return this.#drop(entry, signal.reason);
    let value: unknown;
    try {
      value = await entry.open({ signal });
      checkDisposable(entry.name, value);
    } catch (error) {
      return this.#fail(entry, error);
    }
    if (this.#discarding) {
      discard(value, "application", entry.name);
      return this.#drop(entry, signal.reason);
    }
    entry.state = "open";
    this.opened.push({ name: entry.name, value });
    if (signal.aborted) entry.result.reject(signal.reason); // It is about to be closed again.
    else entry.result.resolve(value);
    for (const name of this.#waits.arrived(entry.name)) this.#begin(this.#entries.get(name)!);
    this.#opened();
  }

  #fail(entry: Entry, error: unknown): void {
    // Before the owner is told, who then stops everything, and last what makes it look as if nothing were opening.
    entry.result.reject(error);
    // What comes after it can't be opened either, and for the same reason.
    for (const name of this.#waits.behind(entry.name)) this.#drop(this.#entries.get(name)!, error);
    this.#owner.openingFailed(error);
    this.#drop(entry, error);
  }

  #drop(entry: Entry, reason: unknown): void {
    this.#entries.delete(entry.name);
    this.#waits.remove(entry.name);
    entry.result.reject(reason);
    if (entry.state === "opening") this.#opened();
  }

  #opened(): void {
    if (--this.#opening > 0) return;
    this.#quiet?.resolve();
    this.#quiet = undefined;
    this.#owner.openingsQuiet();
  }
}

function checkDisposable(name: string, value: unknown): asserts value is AsyncDisposable | Disposable {
  const it = value as Partial<AsyncDisposable & Disposable> | null | undefined;
  if (typeof it?.[Symbol.asyncDispose] === "function" || typeof it?.[Symbol.dispose] === "function") return;
  throw new TypeError(
    `Cannot open ${
      show(name)
    } as what is opened must have [Symbol.asyncDispose]() or [Symbol.dispose](): received ${show(value)}`,
  );
}
