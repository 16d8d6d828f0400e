/** Transactions that code further in finds by itself: what it does with the one it is in. */
import { timeout } from "../cancel/timeout.ts";
import { checkChoice, subject } from "../kernel/checks.ts";
import { isThenable } from "../kernel/deferred.ts";
import { MisuseError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { ContextCarrier } from "./context_carrier.ts";
import type { TxModes } from "./driver.ts";
import type { Transaction } from "./transaction_scope.ts";

/** What a transaction does inside another one of the same database. */
export type Propagation =
  /** Joins it; begins one when there is none. What joined and failed leaves it only to be rolled back. */
  | "required"
  /** Begins another one, on another session, which ends by itself. */
  | "requiresNew"
  /** Opens a savepoint in it; begins one when there is none. */
  | "nested"
  /** Joins it; fails when there is none. */
  | "mandatory"
  /** Joins it; runs without one when there is none. */
  | "supports"
  /** Runs without one, although there is one. */
  | "notSupported"
  /** Runs without one; fails when there is one. */
  | "never";

/** All ways. */
export const PROPAGATIONS: readonly Propagation[] = [
  "required",
  "requiresNew",
  "nested",
  "mandatory",
  "supports",
  "notSupported",
  "never",
];

/** A transaction that can be joined. */
export interface Joinable extends Transaction {
  readonly state: string;
  /** The failure after which it can only be rolled back. */
  doom: { readonly cause?: unknown } | undefined;
  readonly modes: TxModes;
  readonly owner: object | undefined;
}

/** What of a transaction's options matters when it joins another one. */
interface JoinOptions extends TxModes, WaitOptions {
  readonly propagation?: Propagation | undefined;
  readonly retry?: unknown;
}

/** What is carried: the innermost transaction, and those around it, of whichever databases. */
interface Carried {
  readonly of: Ambient;
  readonly tx: Joinable | undefined;
  readonly outer: Carried | undefined;
}

const ambients = new WeakMap<object, Ambient>();

/** Gives a database an ambience of its own. */
export function noteAmbient(of: object, carrier: ContextCarrier, name: string | undefined): void {
  ambients.set(of, new Ambient(carrier, name));
}

/** That of a database, if it has one. */
export function ambientOf(of: object): Ambient | undefined {
  return ambients.get(of);
}

/** Runs `fn` with `tx` in effect on its database, where that finds transactions by itself. */
export function runIn<T>(of: object, tx: Transaction, fn: (tx: Transaction) => T): T {
  const ambient = ambientOf(of);
  return ambient === undefined ? fn(tx) : ambient.run(tx as Joinable, () => fn(tx));
}

/** The transactions of one database that the flow of control is in. */
export class Ambient {
  readonly #carrier: ContextCarrier;
  readonly #name: string | undefined;

  constructor(carrier: ContextCarrier, name: string | undefined) {
    this.#carrier = carrier;
    this.#name = name;
  }

  /** The transaction that is in effect here; one that has ended stays so, for what it has left behind. */
  get current(): Joinable | undefined {
    return this.#innermost(() => true)?.tx;
  }

  /** The innermost that has not ended, and so holds a session, be it in effect here or not. */
  get holding(): Joinable | undefined {
    return this.#innermost(({ tx }) => tx !== undefined && isOpen(tx))?.tx;
  }

  #innermost(fits: (carried: Carried) => boolean): Carried | undefined {
    let at = this.#carrier.getStore() as Carried | undefined;
    while (at !== undefined && !(at.of === this && fits(at))) at = at.outer;
    return at;
  }

  /** Runs `fn` with `tx` in effect, or with none. */
  run<R>(tx: Joinable | undefined, fn: () => R): R {
    const outer = this.#carrier.getStore() as Carried | undefined;
    return this.#carrier.run({ of: this, tx, outer } satisfies Carried, fn);
  }

  /**
   * Does what `propagation` says about the transaction in effect.
   *
   * @param begin Begins one of its own; told whose a session it takes is.
   */
  async propagate<T>(
    fn: (tx: Transaction) => T | PromiseLike<T>,
    options: JoinOptions,
    begin: (owner: object | undefined) => Promise<T>,
  ): Promise<T> {
    const { propagation } = options;
    const { current } = this;
    const doing = `run transaction on ${subject("database", this.#name)}`;
    if (propagation === undefined) {
      if (current === undefined) return await begin(undefined);
      throw new MisuseError(
        `Cannot ${doing}: it is inside another one; say by propagation whether to join it ("required"), open a ` +
          `savepoint ("nested") or begin another one ("requiresNew")`,
      );
    }
    checkChoice(doing, "propagation", propagation, PROPAGATIONS);
    const joins = propagation !== "requiresNew" && propagation !== "notSupported" && propagation !== "never";
    if (joins && current !== undefined && !isOpen(current)) {
      throw new MisuseError(`Cannot ${doing} as propagation "${propagation}": the one around it has ended`);
    }
    switch (propagation) {
      case "required":
        return current === undefined ? await begin(undefined) : await this.#join(current, fn, options, doing);
      case "requiresNew":
        return await begin(current?.owner);
      case "nested":
        if (current === undefined) return await begin(undefined);
        checkModes(current, options, doing);
        return await current.savepoint((inner) =>
          within(doing, options, () => this.run(inner as Joinable, () => fn(inner)))
        );
      case "mandatory":
        if (current !== undefined) return await this.#join(current, fn, options, doing);
        throw new MisuseError(
          `Cannot ${doing} as propagation "mandatory" needs one around it: there is none`,
        );
      case "supports":
        if (current !== undefined) return await this.#join(current, fn, options, doing);
        return await within(doing, options, (signal) => fn(none(doing, signal)));
      case "notSupported":
        return await within(doing, options, (signal) => this.run(undefined, () => fn(none(doing, signal))));
      case "never":
        if (current === undefined) return await within(doing, options, (signal) => fn(none(doing, signal)));
        throw new MisuseError(
          `Cannot ${doing} as propagation "never" allows none around it: it is inside one`,
        );
    }
  }

  async #join<T>(
    tx: Joinable,
    fn: (tx: Transaction) => T | PromiseLike<T>,
    options: JoinOptions,
    doing: string,
  ): Promise<T> {
    checkModes(tx, options, doing);
    if (options.signal?.aborted) throw options.signal.reason;
    try {
      return await within(doing, options, () => fn(tx));
    } catch (error) {
      // Half of what was to be done must not be committed, even if somebody further out catches this.
      tx.doom ??= { cause: error };
      throw error;
    }
  }
}

/** What joins can't have other modes than what it joins: it would get them silently ignored. */
function checkModes(tx: Joinable, { isolation, readOnly, retry, server }: JoinOptions, doing: string): void {
  const { modes } = tx;
  if (server !== undefined) {
    throw new MisuseError(`Cannot ${doing}: server must be left out, as its limits are the outermost one's`);
  }
  if (retry) {
    throw new MisuseError(`Cannot ${doing}: retry must be left out, as only the outermost one can run again`);
  }
  if (isolation !== undefined && isolation !== modes.isolation) {
    throw new MisuseError(
      `Cannot ${doing}: isolation "${isolation}" differs from that of the one to be joined, "${
        modes.isolation ?? "the default"
      }"`,
    );
  }
  if (readOnly !== undefined && readOnly !== (modes.readOnly ?? false)) {
    throw new MisuseError(`Cannot ${doing}: readOnly ${readOnly} differs from the one to be joined`);
  }
}

/** Whether it has not ended. */
export function isOpen({ state }: Joinable): boolean {
  return state === "open" || state === "ending";
}

/** Runs what has no session of its own within its own limits; it has what is left of them in its signal. */
async function within<T>(
  doing: string,
  { signal, timeoutMs }: WaitOptions,
  work: (signal: AbortSignal | undefined) => T | PromiseLike<T>,
): Promise<T> {
  if (signal === undefined && timeoutMs === undefined) {
    const value = work(undefined);
    return isThenable(value) ? await value : value;
  }
  const options = { signal, operation: doing.replace("run ", "") };
  return await timeout(timeoutMs ?? Infinity, (scope) => work(scope.signal), options);
}

/** Stands for the transaction where there is none; using it is an error, but for its signal. */
function none(doing: string, signal: AbortSignal = new AbortController().signal): Transaction {
  return new Proxy({} as Transaction, {
    get(_, name) {
      if (name === "signal") return signal;
      if (name === "then" || typeof name === "symbol") return undefined;
      throw new MisuseError(
        `Cannot use ${name} of transaction: ${doing.replace("run ", "")} runs without one here`,
      );
    },
  });
}
