/** The way of a call into a batch: let in or not, waiting, given up, served; and who waits for all of that. */
import { checkChoice, checkFinite, checkOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";
import { deferred } from "../kernel/deferred.ts";
import { ClosedError, TimeoutError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import { listen } from "../kernel/signals.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { Batch, Call, type CallOwner, Cohort } from "./_batch.ts";
import { Lanes } from "./_batch_lanes.ts";
import type { BatchRules } from "./_batch_rules.ts";
import { BatchRunner, failCallers, NO_COUNTS } from "./_batch_runner.ts";
import type {
  AsyncBatcherCloseOptions,
  AsyncBatcherStatistics,
  BatchFunction,
} from "./async_batcher_options.ts";
import { QueueFullError } from "./queue_full_error.ts";

/** A call that waits to be let in. */
interface Waiting<I, O> {
  readonly call: Call<I, O>;
  readonly bounds: WaitOptions;
  /** When it must have ended. */
  readonly endMs: number;
}

/** What stands behind a batcher; its methods are those of the batcher. */
export class BatchIntake<I, O> {
  readonly rules: BatchRules<I>;
  /** Whether nothing has to be asked of items. */
  readonly #plain: boolean;
  readonly #lanes: Lanes<I, O>;
  readonly #runner: BatchRunner<I, O>;
  /** Callers that wait to be let into a lane. */
  readonly #waiters: WaitQueue<void, Waiting<I, O>>;
  /** Those who wait until a cohort and all before it are over. */
  readonly #flushers: WaitQueue<void, Cohort>;
  readonly #owner: CallOwner<I, O>;
  readonly #counts = { ...NO_COUNTS };
  #running = 0;
  /** The earliest cohort that is not over, and the one that calls are added to. */
  #oldest = new Cohort();
  #cohort = this.#oldest;
  #ids = 0;
  #closing: Promise<void> | undefined;

  constructor(fn: BatchFunction<I, O>, rules: BatchRules<I>) {
    this.rules = rules;
    const { name, weigh, keyOf, partitionOf } = rules;
    this.#plain = weigh === undefined && keyOf === undefined && partitionOf === undefined;
    this.#lanes = new Lanes(rules, () => this.#pump());
    this.#runner = new BatchRunner(fn, rules, this.#counts);
    this.#owner = { doing: `add to ${this.#subject}`, giveUp: (...how) => this.#giveUp(...how) };
    const behind = (): string => this.#behind();
    this.#waiters = new WaitQueue({ what: "add to batcher", structure: "batcher", name, behind });
    this.#flushers = new WaitQueue({ what: "flush batcher", structure: "batcher", name, behind });
  }

  /** Whether it takes nothing more in. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  add(item: I, options?: WaitOptions): Promise<O> {
    if (
      options !== undefined || !this.#plain || this.#closing !== undefined || !this.#hasRoom || observed()
    ) {
      return this.#addWith(item, options);
    }
    return new Promise<O>((resolve, reject) => {
      const cohort = this.#cohort;
      cohort.left++;
      this.#lanes.push(new Call<I, O>(item, cohort, resolve, reject));
      if (this.#lanes.ready) this.#pump();
    });
  }

  flush(options?: WaitOptions): Promise<void> {
    const refused = this.#flushers.refusal(options);
    if (refused !== undefined) return refused;
    return this.#flush(options);
  }

  close(options: AsyncBatcherCloseOptions = {}): Promise<void> {
    try {
      const doing = `close ${this.#subject}`;
      checkOptions(doing, options);
      const { pending = "flush" } = options;
      checkChoice(doing, "pending", pending, ["flush", "reject"]);
      return this.#close(pending === "reject");
    } catch (error) {
      return Promise.reject(error);
    }
  }

  statistics(): AsyncBatcherStatistics {
    const { aborted, timedOut } = this.#waiters.totals;
    return {
      pending: this.#lanes.size,
      waiting: this.#waiters.size,
      partitions: this.#lanes.lanes,
      inUse: this.#running,
      free: this.closed ? 0 : this.rules.concurrency - this.#running,
      closed: this.closed,
      ...this.#counts,
      aborted: this.#counts.aborted + aborted,
      timedOut: this.#counts.timedOut + timedOut,
    };
  }

  get #hasRoom(): boolean {
    return this.#lanes.size < this.rules.maxPending && this.#waiters.size === 0;
  }

  /** Adds an item when there is more to know, of it or of its caller. */
  #addWith(item: I, options: WaitOptions | undefined): Promise<O> {
    const refused = this.#waiters.refusal(options) ?? this.#refusal(options?.timeoutMs);
    if (refused !== undefined) return refused;
    const { promise, resolve, reject } = deferred<O>();
    const call = new Call<I, O>(item, this.#cohort, resolve, reject);
    const bounds = { signal: options?.signal, timeoutMs: options?.timeoutMs ?? Infinity };
    if (!this.#plain) {
      try {
        this.#ask(call);
      } catch (error) {
        return Promise.reject(error);
      }
      // Functions of the user's were called, which can do anything: close it, flush it, abort the signal.
      const refusedNow = this.#waiters.refusal(bounds) ?? this.#refusal();
      if (refusedNow !== undefined) return refusedNow;
      call.cohort = this.#cohort;
    }
    const pending = this.#lanes.size;
    const id = observed() ? call.tie(this.#owner).id = ++this.#ids : 0;
    if (!this.#join(call, bounds, bounds.timeoutMs)) {
      if (!this.#hasRoom && this.rules.overflow === "reject") {
        this.#counts.refused++;
        return Promise.reject(this.#fullError());
      }
      call.cohort.left++;
      if (this.#hasRoom) {
        this.#letIn(call, bounds, bounds.timeoutMs);
        this.#pump();
      } else this.#wait(call, bounds);
    }
    // Told at the end, as whoever is told may close it, or abort the signal: that finds the call in its place.
    if (id > 0) emit("add", "batcher", this.rules.name, { id, pending });
    return promise;
  }

  #refusal(timeoutMs?: number): Promise<never> | undefined {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    if (timeoutMs !== 0) return undefined;
    this.#counts.timedOut++;
    return Promise.reject(this.#timeoutError(0));
  }

  /** Has the user's functions look at an item. */
  #ask(call: Call<I, O>): void {
    const { weigh, keyOf, partitionOf, maxWeight } = this.rules;
    const doing = `add to ${this.#subject}`;
    if (weigh !== undefined) {
      const weight = weigh(call.item);
      checkFinite(doing, "weight", weight, 0);
      if (weight > maxWeight) {
        throw new RangeError(`Cannot ${doing} as weight must be at most ${maxWeight}: received ${weight}`);
      }
      call.tie(this.#owner).weight = weight;
    }
    if (partitionOf !== undefined) call.tie(this.#owner).partition = partitionOf(call.item);
    if (keyOf !== undefined) call.tie(this.#owner).key = keyOf(call.item);
  }

  /** Joins an equal item that waits for a batch. @returns Whether there is one. */
  #join(call: Call<I, O>, bounds: WaitOptions, leftMs: number): boolean {
    if (!this.rules.dedupes) return false;
    const ties = call.ties!;
    const leader = this.#lanes.find(ties.partition, ties.key);
    if (leader === undefined) return false;
    this.#counts.joined++;
    ties.leader = leader;
    (leader.ties!.followers ??= new Set()).add(call);
    leader.ties!.holders++;
    this.#limit(call, bounds, leftMs);
    this.#lanes.hurry(leader, ties.byMs);
    this.#listen(call, bounds);
    this.#pump();
    return true;
  }

  #letIn(call: Call<I, O>, bounds: WaitOptions, leftMs: number): void {
    this.#limit(call, bounds, leftMs);
    this.#lanes.push(call);
    this.#listen(call, bounds);
  }

  /** Ties a call to its signal; once it has its place, as that may give it up at once. */
  #listen({ ties }: Call<I, O>, { signal }: WaitOptions): void {
    if (signal !== undefined) ties!.subscription = listen(signal, ties!);
  }

  /** Ties a call to its limits. */
  #limit(call: Call<I, O>, { signal, timeoutMs }: WaitOptions, leftMs: number): void {
    if (signal === undefined && leftMs === Infinity) return;
    const ties = call.tie(this.#owner);
    const signalMs = deadlineOf(signal);
    if (leftMs === Infinity && signalMs === Infinity) return;
    const now = clock().now();
    if (leftMs !== Infinity) {
      const expire = (): void => this.#giveUp(call, this.#timeoutError(timeoutMs!), "timedOut");
      ties.timer = clock().schedule(now + leftMs, expire, { ref: true });
    }
    const { needsMs } = this.rules;
    const endMs = Math.min(now + leftMs, signalMs);
    ties.byMs = needsMs === undefined ? now + (endMs - now) / 2 : endMs - needsMs;
  }

  /** Waits to be let in. */
  #wait(call: Call<I, O>, bounds: WaitOptions): void {
    const endMs = bounds.timeoutMs === Infinity ? Infinity : clock().now() + bounds.timeoutMs!;
    this.#waiters.wait({ call, bounds, endMs }, bounds).catch((error) => {
      call.fail(error);
      call.cohort.left--;
      this.#tellFlushers();
    });
  }

  /** Lets callers in while there is room. */
  #admit(): void {
    while (this.#waiters.size > 0 && this.#lanes.size < this.rules.maxPending) {
      const waiting = this.#waiters.head();
      if (waiting === undefined) return;
      this.#waiters.grant();
      const { call, bounds, endMs } = waiting;
      if (bounds.signal?.aborted) {
        // By an observer that was told of the grant: nobody listens for it yet.
        this.#counts.aborted++;
        call.fail(bounds.signal.reason);
        call.cohort.left--;
        this.#tellFlushers();
        continue;
      }
      const leftMs = endMs === Infinity ? Infinity : endMs - clock().now();
      if (this.#join(call, bounds, leftMs)) call.cohort.left--;
      else this.#letIn(call, bounds, leftMs);
    }
  }

  /** Begins what batches can begin. */
  #pump(): void {
    while (this.#lanes.ready && this.#running < this.rules.concurrency) {
      const calls = this.#lanes.take();
      const { cohort, ties } = calls[0]!;
      for (const call of calls) call.cohort.left--;
      cohort.left++; // For the batch, which the earliest of its cohorts waits for.
      this.#running++;
      this.#runner.begin(new Batch(calls, ties?.partition), () => {
        this.#running--;
        cohort.left--;
        this.#pump();
        this.#tellFlushers();
      });
      this.#admit();
    }
  }

  #giveUp(call: Call<I, O>, reason: unknown, why: "aborted" | "timedOut"): void {
    if (!call.wanted) return;
    this.#counts[why]++;
    call.fail(reason);
    const place = call.ties!.leader ?? call;
    const ties = place.ties!;
    ties.followers?.delete(call);
    if (--ties.holders > 0) return;
    if (ties.batch !== undefined) return ties.batch.leave(reason, this.#subject);
    this.#lanes.remove(place);
    place.cohort.left--;
    this.#admit();
    this.#pump();
    this.#tellFlushers();
  }

  #close(refuses: boolean): Promise<void> {
    if (this.#closing !== undefined) {
      if (refuses) this.#refuseAll(this.#closedError());
      return this.#closing;
    }
    // It is there before anybody is told of anything, as observers may come back.
    const { promise, resolve } = deferred<void>();
    this.#closing = promise;
    if (refuses) this.#refuseAll(this.#closedError());
    resolve(this.#flush());
    return promise;
  }

  #refuseAll(error: Error): void {
    for (const call of this.#lanes.drain()) {
      call.cohort.left--;
      this.#counts.failed += failCallers(call, error);
    }
    this.#counts.failed += this.#waiters.settleAll(error);
    this.#tellFlushers();
  }

  #flush(options?: WaitOptions): Promise<void> {
    const cohort = this.#cohort;
    cohort.flushed = true;
    this.#cohort = cohort.next = new Cohort();
    this.#lanes.closeAll();
    this.#pump();
    this.#tellFlushers();
    return cohort.over ? Promise.resolve() : this.#flushers.wait(cohort, options);
  }

  #tellFlushers(): void {
    while (this.#oldest !== this.#cohort && this.#oldest.left === 0) {
      this.#oldest.over = true;
      this.#oldest = this.#oldest.next!;
    }
    while (this.#flushers.size > 0 && this.#flushers.head()?.over) this.#flushers.grant();
  }

  get #subject(): string {
    return subject("batcher", this.rules.name);
  }

  #behind(): string {
    const { maxPending, concurrency } = this.rules;
    const most = maxPending === Infinity ? "" : ` of ${maxPending}`;
    return `${this.#lanes.size}${most} pending, ${this.#waiters.size} waiting, ` +
      `${this.#running} of ${concurrency} batches running`;
  }

  #closedError(): ClosedError {
    return new ClosedError(`Cannot add to ${this.#subject}: it is closed`);
  }

  #fullError(): QueueFullError {
    const facts = { maxQueue: this.rules.maxPending, inUse: this.#running };
    return new QueueFullError(`Cannot add to ${this.#subject}: ${this.#behind()}`, facts);
  }

  #timeoutError(limitMs: number): TimeoutError {
    const operation = `add to ${this.#subject}`;
    return new TimeoutError(`Cannot ${operation} within ${limitMs} ms: ${this.#behind()}`, {
      operation,
      limitMs,
    });
  }
}
