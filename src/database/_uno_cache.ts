/** A cache of rows that follows commits: nothing that was read before one is found after it. */
import { checkDurationMs, checkFunction, checkOptions } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { emit } from "../kernel/observer.ts";
import { AsyncCache, hitOf } from "../flow/async_cache.ts";
import type { AsyncCacheStatistics } from "../flow/async_cache_options.ts";
import { anyTags, type Change } from "./_uno_tags.ts";
import { copied, share, type Sharing } from "./_uno_values.ts";
import type { CallContext } from "../flow/policy.ts";
import type { Root, TransactionOutcome } from "./transaction_scope.ts";

/** The cache of a {@linkcode UnoDb}. */
export interface UnoCacheOptions {
  /** For how long a row is found, in milliseconds: what other processes write is not seen before. Default 60,000. */
  ttlMs?: number | undefined;
  /** How many reads are kept at most. Default 10,000. */
  maxEntries?: number | undefined;
  /**
   * Called after a commit with what it has changed, to tell other processes, which call `invalidate`. What goes wrong
   * in it goes to the observer (`invalidation.failed`).
   */
  changed?: ((changes: readonly Change[]) => unknown) | undefined;
}

/** What was read, and how it may be kept. */
interface Cell {
  readonly value: unknown;
  readonly tags: readonly string[];
  readonly ttlMs: number;
  readonly sharing: Sharing;
}

/** A read that may be answered from the cache. */
export interface CachedRead<T> {
  /** The same for what means the same. */
  readonly key: string;
  /** For how long it may be found; default: as the cache has it. */
  readonly ttlMs: number | undefined;
  load(signal: AbortSignal): Promise<T>;
  tagsOf(value: T): readonly string[];
}

/** A transaction that has written. */
interface Writer {
  readonly tags: Set<string>;
  readonly changes: Map<string, Change>;
}

/**
 * For how long nothing is kept of what a transaction has written whose outcome is not known: its COMMIT may still be on
 * its way.
 */
const DOUBT_MS = 60_000;

export class UnoCache {
  readonly #cache: AsyncCache<string, Cell>;
  readonly #ttlMs: number;
  readonly #changed: UnoCacheOptions["changed"];
  readonly #name: string | undefined;
  readonly #writers = new WeakMap<Root, Writer>();
  /** How many transactions under way have written what has a tag. */
  readonly #dirty = new Map<string, number>();
  /** Until when nothing with a tag is kept. */
  readonly #doubtful = new Map<string, number>();

  constructor(doing: string, name: string | undefined, options: UnoCacheOptions = {}) {
    checkOptions(`${doing} as cache`, options ?? null);
    const { ttlMs = 60_000, maxEntries = 10_000, changed } = options;
    checkDurationMs(doing, "cache.ttlMs", ttlMs);
    if (changed !== undefined) checkFunction(doing, "cache.changed", changed);
    this.#name = name;
    this.#ttlMs = ttlMs;
    this.#changed = changed;
    this.#cache = new AsyncCache<string, Cell>({
      name,
      maxEntries,
      ttlMs: (cell) => cell.ttlMs,
      tags: (cell) => cell.tags,
    });
  }

  /** What is kept for a key, as it is handed out; for reads that have neither a signal nor a limit. */
  kept(key: string): { readonly value: unknown } | undefined {
    const cell = hitOf(this.#cache, key);
    return cell === undefined || cell.sharing !== "copied" ? cell : { value: copied(cell.value) };
  }

  /** Answers a read from the cache, or loads and keeps it. */
  read<T>(read: CachedRead<T>, signal: AbortSignal | undefined, timeoutMs: number | undefined): Promise<T> {
    const load = async (_: string, { signal }: CallContext): Promise<Cell> =>
      this.#cell(read, await read.load(signal));
    const limits = signal === undefined && timeoutMs === undefined ? undefined : { signal, timeoutMs };
    return this.#cache.get(read.key, load, limits).then(valueIn) as Promise<T>;
  }

  /** Notes that a transaction is about to write: nothing that it touches is kept until it has ended. */
  writing(root: Root, change: Change, tags: readonly string[]): void {
    // After its end it writes nothing more, and nobody would say when that is over.
    if (root.state !== "open" && root.state !== "ending") return;
    let writer = this.#writers.get(root);
    if (writer === undefined) {
      const opened = writer = { tags: new Set<string>(), changes: new Map<string, Change>() };
      this.#writers.set(root, writer);
      (root.ends ??= []).push((outcome) => this.#ended(opened, outcome));
    }
    writer.changes.set(tags.join(), change);
    for (const tag of tags) {
      if (writer.tags.has(tag)) continue;
      writer.tags.add(tag);
      this.#dirty.set(tag, (this.#dirty.get(tag) ?? 0) + 1);
    }
  }

  /** Drops what depends on a change that was made elsewhere. */
  invalidate(change: Change): void {
    for (const tag of anyTags(change)) this.#cache.deleteTag(tag);
  }

  async close(): Promise<void> {
    await this.#cache.close();
  }

  statistics(): AsyncCacheStatistics {
    return this.#cache.statistics();
  }

  #cell<T>(read: CachedRead<T>, value: T): Cell {
    const sharing = share(value);
    const tags = read.tagsOf(value);
    const keeps = sharing !== "none" && !tags.some((tag) => this.#isDirty(tag));
    return { value, tags, sharing, ttlMs: keeps ? read.ttlMs ?? this.#ttlMs : 0 };
  }

  #isDirty(tag: string): boolean {
    if (this.#dirty.has(tag)) return true;
    if (this.#doubtful.size === 0) return false;
    const until = this.#doubtful.get(tag);
    if (until === undefined) return false;
    if (until > clock().now()) return true;
    this.#doubtful.delete(tag);
    return false;
  }

  #ended({ tags, changes }: Writer, outcome: TransactionOutcome): void {
    const now = clock().now();
    for (const tag of tags) {
      const others = this.#dirty.get(tag)! - 1;
      if (others > 0) this.#dirty.set(tag, others);
      else this.#dirty.delete(tag);
      if (outcome === "unknown") this.#doubtful.set(tag, now + DOUBT_MS);
      // In the same turn as the end: nobody can hear of the commit and find what was before.
      if (outcome !== "rolled back") this.#cache.deleteTag(tag);
    }
    if (this.#doubtful.size > 0) {
      for (const [tag, until] of this.#doubtful) if (until <= now) this.#doubtful.delete(tag);
    }
    if (outcome !== "rolled back" && this.#changed !== undefined) void this.#tell([...changes.values()]);
  }

  async #tell(changes: readonly Change[]): Promise<void> {
    try {
      // Not in the midst of the end of a transaction.
      await Promise.resolve();
      await this.#changed!(changes);
    } catch (error) {
      emit("invalidation.failed", "cache", this.#name, { changes, error });
    }
  }
}

function valueIn({ sharing, value }: Cell): unknown {
  return sharing === "copied" ? copied(value) : value;
}
