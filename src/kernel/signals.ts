/**
 * The one place where the library listens to abort signals.
 *
 * However many waiters, sleepers, scopes and groups hang on a signal, the signal itself sees one listener of ours, and
 * none when nobody is left: `addEventListener` scans its list for duplicates, so a listener each would make N waiters
 * on one signal cost N². Subscriptions are linked into a list instead, O(1) to make and to drop. Signals that the
 * library makes itself need no listener at all: their {@linkcode Canceller} tells the list.
 */
import { census } from "./census.ts";
import { subject } from "./checks.ts";
import { Descent } from "./descent.ts";

/** Something that wants to be told, once, that a signal was aborted. */
export interface AbortTarget {
  aborted(reason: unknown): void;
  /** What hangs on the signal, in words or as a tree, for whoever asks what a task is waiting for. */
  describe?(): unknown;
  /** Where it waits for somebody else: for what, and what is in the way, as in `acquire lock "a": it is held`. */
  heldUpBy?(): string;
  /** The signals that are aborted with it: what hangs on them is waited for too. */
  passesOn?(): Iterable<AbortSignal>;
}

/** One target's place in the list of a signal. */
export class Subscription {
  /** @internal */ hub: Hub | undefined;
  /** @internal */ prev: Subscription | undefined;
  /** @internal */ next: Subscription | undefined;
  /** @internal */ readonly target: AbortTarget;

  /** @internal */
  constructor(hub: Hub, target: AbortTarget) {
    this.hub = hub;
    this.target = target;
  }

  /** Ends it; again, or after the abort, it does nothing. */
  cancel(): void {
    this.hub?.remove(this);
  }
}

class Hub implements EventListenerObject {
  readonly #signal: AbortSignal;
  #first: Subscription | undefined;
  #last: Subscription | undefined;
  #listening = false;
  /** Whether a Canceller tells us. */
  readonly #told: boolean;

  constructor(signal: AbortSignal, told: boolean) {
    this.#signal = signal;
    this.#told = told;
  }

  add(subscription: Subscription): void {
    census.subscriptions++;
    subscription.prev = this.#last;
    if (this.#last === undefined) this.#first = subscription;
    else this.#last.next = subscription;
    this.#last = subscription;
    if (!this.#listening && !this.#told) this.#listen(subscription);
  }

  remove(subscription: Subscription): void {
    this.#unlink(subscription);
    if (this.#first === undefined && this.#listening) this.#unlisten();
  }

  handleEvent(): void {
    if (!this.#signal.aborted) return; // Anybody who has the signal can dispatch an event at it; only its controller can abort it.
    if (this.#listening) this.#unlisten();
    if (this.#first !== undefined) telling.visit(this);
  }

  tell(): void {
    const { reason } = this.#signal;
    // From the head each time: a target may drop others of the list while it is told.
    for (let first = this.#first; first !== undefined; first = this.#first) {
      this.#unlink(first);
      first.target.aborted(reason);
    }
  }

  *targets(): Iterable<AbortTarget> {
    for (let at = this.#first; at !== undefined; at = at.next) yield at.target;
  }

  #listen(subscription: Subscription): void {
    this.#listening = true;
    census.listeners++;
    try {
      this.#signal.addEventListener("abort", this);
    } catch (error) {
      if (subscription.hub === undefined) return; // It was told before that.
      this.remove(subscription);
      throw error;
    }
    this.handleEvent();
  }

  #unlisten(): void {
    this.#listening = false;
    census.listeners--;
    try {
      this.#signal.removeEventListener("abort", this);
    } catch {
      // Not a signal of the platform's. Whoever lets go is in the middle of handing something to somebody else.
    }
  }

  #unlink(subscription: Subscription): void {
    const { prev, next } = subscription;
    if (prev === undefined) this.#first = next;
    else prev.next = next;
    if (next === undefined) this.#last = prev;
    else next.prev = prev;
    subscription.hub = subscription.prev = subscription.next = undefined;
    census.subscriptions--;
  }
}

/** Scopes abort what is in them. */
const telling = new Descent((hub: Hub) => hub.tell());

const hubs = new WeakMap<AbortSignal, Hub>();

/**
 * Where the hub of a signal of our own is kept: on the signal. There are as many as tasks and scopes, and a WeakMap of
 * that size doubles what a task with a signal costs, most of it in garbage collection.
 */
const HUB = Symbol("hub");

function hubOf(signal: AbortSignal & { [HUB]?: Hub }): Hub | undefined {
  return signal[HUB] ?? hubs.get(signal);
}

/**
 * Has `target` told when `signal` is aborted, in the order of subscription, unless cancelled first.
 *
 * The signal must not be aborted yet: whoever waits has refused an aborted one before. One that is none of the
 * platform's may become so here: `target` is then told at once.
 */
export function subscribe(signal: AbortSignal, target: AbortTarget): Subscription {
  let hub = hubOf(signal);
  if (hub === undefined) hubs.set(signal, hub = new Hub(signal, false));
  const subscription = new Subscription(hub, target);
  hub.add(subscription);
  return subscription;
}

/**
 * The same for whoever is about to begin something. When the signal is none of the platform's and can't be listened to,
 * or is aborted by that, `target` is told at once, with the error or the reason.
 *
 * @returns `undefined` when it was told: then nothing is to be begun.
 */
export function listen(signal: AbortSignal, target: AbortTarget): Subscription | undefined {
  let subscription: Subscription;
  try {
    subscription = subscribe(signal, target);
  } catch (error) {
    target.aborted(error);
    return undefined;
  }
  if (!signal.aborted) return subscription;
  if (subscription.hub !== undefined) {
    // In the midst of another abort, it is still to be told.
    subscription.cancel();
    target.aborted(signal.reason);
  }
  return undefined;
}

/**
 * An `AbortController` of the library's own. Whoever hangs on its signal inside the library is told directly, after
 * the signal's own listeners: adding, removing and dispatching to a platform listener costs more than a whole wait.
 */
export class Canceller {
  readonly #controller = new AbortController();
  readonly #hub: Hub;

  constructor() {
    const signal: AbortSignal & { [HUB]?: Hub } = this.#controller.signal;
    signal[HUB] = this.#hub = new Hub(signal, true);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts the signal; again: does nothing. */
  abort(reason: unknown): void {
    if (this.signal.aborted) return;
    this.#controller.abort(reason);
    this.#hub.handleEvent();
  }
}

/** The trees told so far in answer to the outermost question, by whom: who tells one asks on. */
let trees: Map<AbortTarget, { readonly group?: unknown }> | undefined;

/**
 * What the subscribers of `signal` say of themselves: what work with that signal is waiting for right now.
 *
 * Each once, however many ways lead there. A tree to which several lead from within another stands in that once, where
 * it is come to first, and then in words: else trees would grow twofold with each level that two ways lead through.
 */
export function hangingOn(signal: AbortSignal): unknown[] {
  const found: unknown[] = [];
  const outermost = trees === undefined;
  const told = trees ??= new Map();
  try {
    ask(signal, (target) => {
      const tree = told.get(target);
      if (tree !== undefined) return found.push(subject("group", String(tree.group)));
      const description = target.describe?.();
      if (description !== undefined) found.push(description);
      if (typeof description === "object" && description !== null) told.set(target, description);
    });
  } finally {
    if (outermost) trees = undefined;
  }
  return found;
}

/** Why work with that signal has not ended, for the message of its time limit: to be asked before the abort. */
export function stillRunning(signal: AbortSignal | undefined): string {
  const waits = heldUp(signal);
  return waits === undefined ? "it was still running" : `it was still waiting to ${waits}`;
}

/** For what work with that signal waits, and what is in the way, as far as it waits for somebody else. */
export function heldUp(signal: AbortSignal | undefined): string | undefined {
  const found: string[] = [];
  if (signal !== undefined) {
    ask(signal, (target) => {
      const waits = target.heldUpBy?.();
      if (waits !== undefined) found.push(waits);
    });
  }
  const more = found.length <= 1 ? "" : `, and ${found.length - 1} more waits`;
  return found.length === 0 ? undefined : found[0] + more;
}

interface Question {
  readonly visit: (target: AbortTarget) => void;
  /** Who was asked before, and in which lists: several ways may lead to them. */
  readonly seen: Set<AbortTarget | Hub>;
}

function ask(signal: AbortSignal, visit: Question["visit"]): void {
  pass(signal, { visit, seen: new Set() });
}

function pass(signal: AbortSignal, question: Question): void {
  const hub = hubOf(signal);
  if (hub === undefined || question.seen.has(hub)) return;
  question.seen.add(hub);
  asking.visit({ hub, question });
}

/** Groups that hang on a task describe their tasks, and those what hangs on them; so do scopes. */
const asking = new Descent(({ hub, question }: { readonly hub: Hub; readonly question: Question }) => {
  const { visit, seen } = question;
  for (const target of hub.targets()) {
    if (seen.has(target)) continue;
    seen.add(target);
    visit(target);
    if (target.passesOn === undefined) continue;
    for (const signal of target.passesOn()) pass(signal, question);
  }
});
