import { linkSignals } from "../cancel/link_signals.ts";
import { timeout } from "../cancel/timeout.ts";
import { type Deferred, deferred, ignore } from "../kernel/deferred.ts";

/** What an application calls at its start or stop. */
export type Hook = (context: { signal: AbortSignal }) => unknown;

/** A hook with its name and, if it has one, its time limit. */
export interface NamedHook {
  readonly name: string;
  readonly run: Hook;
  readonly timeoutMs: number | undefined;
}

/** Whom {@linkcode StartHooks} tells. */
export interface StartHooksOwner {
  /** Whether the next hook may run: everything registered so far is open. */
  mayRun(): boolean;
  hookFailed(error: unknown): void;
  hooksQuiet(): void;
}

/** Runs start hooks, one after the other, in the order in which they were registered. */
export class StartHooks {
  readonly #owner: StartHooksOwner;
  readonly #queue: NamedHook[] = [];
  readonly #controller = new AbortController();
  #running: { readonly name: string; readonly ended: Promise<void> } | undefined;
  #registered = 0;
  #done = 0;

  constructor(owner: StartHooksOwner) {
    this.#owner = owner;
  }

  /** How many were registered so far. */
  get registered(): number {
    return this.#registered;
  }

  /** How many have succeeded. */
  get done(): number {
    return this.#done;
  }

  /** Whether none runs or is still to run. */
  get quiet(): boolean {
    return this.#running === undefined && this.#queue.length === 0;
  }

  /** The hook that runs now. */
  get running(): { readonly name: string; readonly ended: Promise<void> } | undefined {
    return this.#running;
  }

  /** Takes a hook in; {@linkcode advance} runs it. */
  add(hook: NamedHook): void {
    this.#registered++;
    this.#queue.push(hook);
  }

  /** Runs what is to run, if nothing is running. */
  advance(): void {
    if (this.#running !== undefined || this.#controller.signal.aborted || !this.#owner.mayRun()) return;
    const hook = this.#queue.shift();
    if (hook === undefined) return this.#owner.hooksQuiet();
    const ended = deferred<void>();
    this.#running = { name: hook.name, ended: ended.promise };
    void this.#run(hook, ended);
  }

  /** Runs none any more, and aborts the one that runs with `reason`. */
  stop(reason: unknown): void {
    this.#queue.length = 0;
    this.#controller.abort(reason);
  }

  async #run(hook: NamedHook, ended: Deferred<void>): Promise<void> {
    let work: Promise<unknown> = Promise.resolve();
    let failure: { readonly error: unknown } | undefined;
    try {
      // Its limit answers at once, a stop only aborts the signal: whoever stops waits for the hook to end.
      await timeout(hook.timeoutMs ?? Infinity, (limit) => {
        const linked = linkSignals(limit.signal, this.#controller.signal);
        return work = call(hook.run, linked.signal).finally(() => linked[Symbol.dispose]());
      }, { operation: hook.name });
      this.#done++;
    } catch (error) {
      failure = { error };
    }
    if (failure !== undefined) this.#owner.hookFailed(failure.error);
    await work.catch(ignore);
    this.#running = undefined;
    ended.resolve();
    this.advance();
  }
}

async function call(hook: Hook, signal: AbortSignal): Promise<unknown> {
  return await hook({ signal });
}
