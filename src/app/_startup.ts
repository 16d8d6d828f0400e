import { show, showError } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type Deferred, deferred, ignore } from "../kernel/deferred.ts";
import { TaskGroupError, TimeoutError } from "../kernel/errors.ts";
import { Openings } from "./_openings.ts";
import { StartHooks } from "./_start_hooks.ts";

/** Why something failed. */
export interface Failure {
  readonly error: unknown;
}

/** Whom a {@linkcode Startup} tells. */
export interface StartupOwner {
  /** It has begun. */
  starting(): void;
  /** All that was registered has started. */
  ready(): void;
  /** It can't come to its end, or a hook failed that was registered later. */
  startFailed(failure: Failure): void;
  /** Something failed while it is being stopped. */
  failedInStop(error: unknown): void;
}

/** The start of an application: resources open, then hooks run, and when nothing is left to do it is ready. */
export class Startup {
  readonly openings: Openings;
  readonly hooks: StartHooks;
  readonly #what: string;
  readonly #limitMs: number;
  readonly #owner: StartupOwner;
  #phase: "new" | "starting" | "ready" | "over" = "new";
  #timer: Disposable | undefined;
  /** For whoever waits for it. */
  #start: Deferred<void> | undefined;
  #failure: Failure | undefined;
  #thrown = false;
  #wasReady = false;

  /** One that has not begun, of `what`, which may take so long. */
  constructor(what: string, limitMs: number, owner: StartupOwner) {
    this.#what = what;
    this.#limitMs = limitMs;
    this.#owner = owner;
    this.openings = new Openings({
      openingFailed: (error) => this.#failed(error),
      openingsQuiet: () => this.#advance(),
    });
    this.hooks = new StartHooks({
      mayRun: () => this.#phase !== "new" && this.openings.opening === 0,
      hookFailed: (error) => this.#failed(error, true),
      hooksQuiet: () => this.#advance(),
    });
  }

  /** Whether it has begun. */
  get begun(): boolean {
    return this.#phase !== "new";
  }

  /** Why it can't come to its end. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  /** Whether its failures were thrown at whoever waited for it. */
  get thrown(): boolean {
    return this.#thrown;
  }

  /** What whoever asked for it waits for. */
  get promise(): Promise<void> | undefined {
    return this.#start?.promise;
  }

  /** Begins it, unless it has begun: hooks may run. */
  begin(): void {
    if (this.#phase !== "new") return;
    this.#phase = "starting";
    if (this.#limitMs !== Infinity) {
      this.#timer = clock().schedule(clock().now() + this.#limitMs, () => this.#overdue(), { ref: true });
    }
    this.#owner.starting(); // Last, as who is told may stop it.
  }

  /** Begins it, and has it come to its end: only then is the application ready. */
  start(): Promise<void> {
    this.#start = deferred<void>();
    this.begin();
    if (this.#failure !== undefined) this.#owner.startFailed(this.#failure);
    else this.#advance();
    return this.#start.promise;
  }

  /** Lets it not become ready any more; what runs goes on. */
  halt(): void {
    this.#phase = "over";
    this.#timer?.[Symbol.dispose]();
  }

  /** Starts nothing more, and aborts what is starting with `reason`. */
  stop(reason: unknown): void {
    this.openings.stop(reason);
    this.hooks.stop(reason);
  }

  /** Tells whoever waits for it that it has not come to its end; `errors` are all there were. */
  end(reason: unknown, errors: readonly unknown[]): void {
    if (this.#start === undefined || this.#wasReady) return;
    this.#thrown = this.#failure !== undefined;
    if (this.#failure === undefined) this.#start.reject(reason);
    else if (errors.length <= 1) this.#start.reject(this.#failure.error);
    else {
      const { error } = this.#failure;
      const message = `Cannot start ${this.#what}: ${errors.length} failures, the first: ${showError(error)}`;
      this.#start.reject(new TaskGroupError(errors, message, { cause: error }));
    }
  }

  /** Does so at once, to somebody who may have gone. */
  endEarly(reason: unknown): void {
    this.end(reason, []);
    this.#start?.promise.catch(ignore);
  }

  /** Looks what can be done next. */
  #advance(): void {
    if (this.#phase === "new" || this.openings.opening > 0) return;
    const ending = this.#phase === "starting" && this.#start !== undefined;
    if (ending && this.openings.waiting > 0) return this.openings.refuseUnknown();
    if (!this.hooks.quiet) return this.hooks.advance();
    if (!ending) return;
    this.#phase = "ready";
    this.#wasReady = true;
    this.#timer?.[Symbol.dispose]();
    this.#owner.ready();
    this.#start!.resolve();
  }

  #failed(error: unknown, always = false): void {
    if (this.#phase === "over") return this.#owner.failedInStop(error);
    if (this.#phase === "ready" && !always) return; // It is its caller's only.
    this.#failure ??= { error };
    if (this.#phase !== "new") this.#owner.startFailed(this.#failure);
  }

  #overdue(): void {
    const opening = [...this.openings.names("opening"), ...this.openings.names("waiting")];
    const late = opening.map((name) => `opening of ${show(name)}`);
    if (this.hooks.running !== undefined) late.push(this.hooks.running.name);
    // A main that never calls start() has nothing to be late with.
    if (late.length === 0 && this.#start === undefined) return;
    const operation = `start ${this.#what}`;
    const message = `Cannot ${operation} within ${this.#limitMs} ms: waiting for ${late.join(", ")}`;
    this.#failed(new TimeoutError(message, { operation, limitMs: this.#limitMs }));
  }
}
