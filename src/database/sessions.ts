/** The connections of a database: opened when needed, kept, looked after, and given out one holder at a time. */
import { show, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { ClosedError, TimeoutError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { HoldOptions } from "../kernel/types.ts";
import { AsyncResourcePool } from "../resource/async_resource_pool.ts";
import { PoolClosedError } from "../resource/pool_errors.ts";
import type { PoolCloseReport, PoolLease, PoolStatistics } from "../resource/pool_options.ts";
import { ConnectFailedError } from "./errors.ts";
import { LeasedSession } from "./session.ts";
import type { DatabaseSettings } from "./settings.ts";
import { textOf, Wire } from "./wire.ts";

/** What is known of a session in somebody's hands. */
export interface SessionInfo {
  /** Who has it, as far as it said so. */
  readonly label: string | undefined;
  /** For how long, in milliseconds. */
  readonly heldMs: number;
  /** What the server calls the connection. */
  readonly id: number | string | undefined;
  /** The first word of its last statement. */
  readonly lastCommand: string | undefined;
  /** Whether a statement runs or waits. */
  readonly busy: boolean;
}

/** Who has a session. */
interface Hold {
  readonly label: string | undefined;
  readonly owner: object | undefined;
  readonly sinceMs: number;
}

/** The sessions of one `Database`. */
export class Sessions {
  readonly #settings: DatabaseSettings;
  readonly #pool: AsyncResourcePool<Wire>;
  /** Sessions in somebody's hands, with who has each and since when. */
  readonly #held = new Map<LeasedSession, Hold>();
  #failures = 0;

  constructor(settings: DatabaseSettings) {
    this.#settings = settings;
    // An engine inside the process has no line that could have been cut.
    const isInside = settings.driver.maxSessions === 1;
    this.#pool = new AsyncResourcePool<Wire>({
      name: settings.name,
      max: settings.max,
      min: settings.min,
      create: ({ signal, gone }) => this.#connect(signal, gone),
      createTimeoutMs: settings.attemptTimeoutMs,
      backoff: settings.backoff,
      failFast: (error) => this.#failures >= settings.connectAttempts || !mayPass(error),
      validate: isInside ? undefined : (wire) => wire.isAlive(),
      validateTimeoutMs: 1_000,
      freshMs: settings.freshMs,
      recycle: settings.reset ? (wire) => wire.reset() : undefined,
      destroy: (wire) => wire.inUse ? wire.takeAway() : wire.close(),
      destroyTimeoutMs: settings.cancelGraceMs + 1_000,
      acquireTimeoutMs: settings.acquireTimeoutMs,
      maxWaiters: settings.maxWaiters,
      idleTimeoutMs: settings.idleTimeoutMs,
      maxLifetimeMs: settings.maxLifetimeMs,
      leakAfterMs: settings.leakAfterMs,
    });
  }

  get closed(): boolean {
    return this.#pool.closed;
  }

  /**
   * Waits for a session.
   *
   * @param within Who holds the session of the transaction around this, and has to wait with it.
   */
  async acquire(options: HoldOptions | undefined, within?: object): Promise<LeasedSession> {
    try {
      for (;;) {
        const lease = await this.#pool.acquire(this.#asking(options, within));
        if (lease.value.usable) return this.#give(lease, options);
        lease.discard();
      }
    } catch (error) {
      if (!(error instanceof PoolClosedError)) throw error;
      throw new ClosedError(
        `Cannot take session of ${subject("database", this.#settings.name)}: it is closed`,
      );
    }
  }

  /**
   * Somebody who holds all there are would wait for himself: by his name, the pool refuses him. As long as there are
   * others, he asks as nobody, as work beside the one that waits may well give a session back.
   */
  #asking(options: HoldOptions | undefined, within: object | undefined): HoldOptions | undefined {
    if (within === undefined || options?.owner !== undefined) return options;
    if (this.#held.size < this.#settings.max) return options;
    for (const { owner } of this.#held.values()) if (owner !== within) return options;
    return { ...options, owner: within };
  }

  /** Takes one that is there at once. */
  tryAcquire(options: HoldOptions | undefined): LeasedSession | undefined {
    const lease = this.#pool.tryAcquire(options);
    if (lease === undefined) return undefined;
    if (lease.value.usable) return this.#give(lease, options);
    lease.discard();
    return undefined;
  }

  close(graceMs: number): Promise<PoolCloseReport> {
    return this.#pool.close({ graceMs });
  }

  statistics(): PoolStatistics {
    return this.#pool.statistics();
  }

  /** Who has what. */
  held(): readonly SessionInfo[] {
    const now = clock().now();
    return [...this.#held].map(([{ wire }, { label, sinceMs }]) => ({
      label,
      heldMs: now - sinceMs,
      id: wire.connection.id,
      lastCommand: wire.lastCommand,
      busy: wire.busy,
    }));
  }

  #give(lease: PoolLease<Wire>, { label, owner }: HoldOptions = {}): LeasedSession {
    const wire = lease.value;
    wire.inUse = true;
    const session = new LeasedSession(wire, () => {
      wire.inUse = false;
      wire.onGone = undefined;
      this.#held.delete(session);
      // Closing may have taken it away meanwhile.
      if (!lease.held) return;
      if (wire.usable) lease.release();
      else lease.discard();
    });
    this.#held.set(session, { label, owner, sinceMs: clock().now() });
    return session;
  }

  async #connect(signal: AbortSignal, lost: () => void): Promise<Wire> {
    const { driver, name } = this.#settings;
    try {
      const connection = await driver.connect({ signal });
      const wire = new Wire(connection, this.#settings, lost);
      // The pool takes one that is lost already for a failed attempt.
      this.#failures = wire.usable ? 0 : this.#failures + 1;
      return wire;
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      const { kind, state } = driver.classify(cause);
      if (kind === "usage") throw cause;
      const attempts = ++this.#failures;
      const { dialect, target } = driver;
      const where = target === undefined ? "" : ` at ${show(target)}`;
      if (observed()) emit("connect.failed", "database", name, { attempts, error: cause });
      throw new ConnectFailedError(
        `Cannot connect to ${subject("database", name)}${where}: ${textOf(cause)}`,
        {
          dialect,
          stage: "connect",
          failure: kind,
          state,
          cause,
          attempts,
        },
      );
    }
  }
}

/** Whether what connecting failed with may be different the next time. */
function mayPass(error: unknown): boolean {
  // Too slow, or gone again in the moment it was there.
  if (!(error instanceof ConnectFailedError)) {
    return error instanceof TimeoutError || error instanceof ClosedError;
  }
  return error.failure === "connection" || error.failure === "conflict";
}
