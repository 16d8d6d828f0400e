/** Where calls wait for a batch: a lane for each kind of batch, with a window of its own. */
import { clock } from "../kernel/clock.ts";
import { Heap, type HeapItem } from "../kernel/heap.ts";
import type { Call, Ties } from "./_batch.ts";
import { CallLine } from "./_batch_line.ts";

/** Calls that may share a batch, oldest first. Either its window is open, or it is ready: its next batch may begin. */
class Lane<I, O> extends CallLine<I, O> implements HeapItem {
  heapIndex = -1;
  prev: Lane<I, O> | undefined = undefined;
  next: Lane<I, O> | undefined = undefined;
  readonly partition: unknown;
  /** The place of its window in the order in which windows were opened. */
  order = 0;
  /** When its window closes. */
  dueMs = Infinity;
  ready = false;
  weight = 0;
  /** When something was added last, where that counts. */
  lastMs = 0;
  /** Those who have less time than the window. */
  hurried: Heap<Ties<I, O>> | undefined;
  /** Who waits with which key. */
  byKey: Map<unknown, Call<I, O>> | undefined;

  constructor(partition: unknown) {
    super();
    this.partition = partition;
  }

  /** When its window has to close: by the first of those who wait, or whoever has less time. */
  windowEnd(maxWaitMs: number, quietMs: number): number {
    const endMs = Math.min(this.first!.sinceMs + maxWaitMs, this.hurried?.peek()?.byMs ?? Infinity);
    return quietMs < maxWaitMs ? Math.min(endMs, this.lastMs + quietMs) : endMs;
  }
}

/** Lanes whose next batch may begin, in the order in which that came about; any of them can leave in O(1). */
class ReadyLine<I, O> {
  first: Lane<I, O> | undefined = undefined;
  #last: Lane<I, O> | undefined = undefined;

  push(lane: Lane<I, O>): void {
    const last = this.#last;
    if (last === undefined) this.first = lane;
    else {
      lane.prev = last;
      last.next = lane;
    }
    this.#last = lane;
    lane.ready = true;
  }

  remove(lane: Lane<I, O>): void {
    if (!lane.ready) return;
    const { prev, next } = lane;
    if (prev === undefined) this.first = next;
    else prev.next = next;
    if (next === undefined) this.#last = prev;
    else next.prev = prev;
    lane.prev = lane.next = undefined;
    lane.ready = false;
  }
}

/** What the lanes go by. */
export interface LaneRules {
  readonly maxSize: number;
  readonly maxWeight: number;
  readonly maxWaitMs: number;
  readonly quietMs: number;
  readonly maxPending: number;
  readonly dedupes: boolean;
}

/**
 * For how many turns of the microtask queue nothing must be added before a window of 0 ms closes. Several, as callers
 * that come through an async function or two more than others are a few turns behind them.
 */
const QUIET_TURNS = 8;

const settled = Promise.resolve();

/** All lanes of a batcher, with one timer among them. */
export class Lanes<I, O> {
  /** How many items wait. */
  size = 0;
  readonly #rules: LaneRules;
  readonly #timed: boolean;
  readonly #due: () => void;
  readonly #lanes = new Map<unknown, Lane<I, O>>();
  /** The lane of those who ask for none, which most batchers have alone. */
  readonly #main = new Lane<I, O>(undefined);
  readonly #windows = new Heap<Lane<I, O>>((a, b) =>
    a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order)
  );
  readonly #ready = new ReadyLine<I, O>();
  #opened = 0;
  #timer: Disposable | undefined;
  #timerMs = Infinity;
  /** How many quiet turns of the microtask queue windows of 0 ms stay open; 0 when none is open. */
  #turnsLeft = 0;

  /** `due` is called when lanes have become ready as time went by. */
  constructor(rules: LaneRules, due: () => void) {
    this.#rules = rules;
    this.#timed = rules.maxWaitMs > 0;
    this.#due = due;
  }

  /** How many kinds of batch somebody waits for. */
  get lanes(): number {
    return this.#lanes.size + (this.#main.size > 0 ? 1 : 0);
  }

  /** Whether a batch may begin. */
  get ready(): boolean {
    return this.#ready.first !== undefined;
  }

  /** Who waits with that key. */
  find(partition: unknown, key: unknown): Call<I, O> | undefined {
    const lane = partition === undefined ? this.#main : this.#lanes.get(partition);
    return lane?.byKey?.get(key);
  }

  push(call: Call<I, O>): void {
    const { ties } = call;
    const lane = this.#laneOf(ties?.partition);
    if (this.#timed) this.#noteTimes(lane, call);
    lane.push(call);
    if (ties !== undefined) lane.weight += ties.weight;
    this.size++;
    if (this.#rules.dedupes) (lane.byKey ??= new Map()).set(ties!.key, call);
    if (this.size >= this.#rules.maxPending) this.closeAll();
    if (lane.ready) return;
    if (call.cohort.flushed || this.#isFull(lane)) this.#makeReady(lane);
    else if (!this.#timed) this.#holdOpen(lane);
    else if (lane.heapIndex < 0 || (ties !== undefined && ties.byMs < lane.dueMs)) this.#place(lane);
  }

  /** Takes one out who has given up. */
  remove(call: Call<I, O>): void {
    const ties = call.ties!;
    const lane = this.#laneOf(ties.partition);
    // Those in the middle make no difference to a window.
    const matters = lane.first === call || lane.ready || ties.heapIndex >= 0;
    lane.remove(call);
    this.size--;
    this.#untie(lane, ties);
    if (matters) this.#place(lane);
  }

  /** Has one that waits already begin before it would have. */
  hurry(call: Call<I, O>, byMs: number): void {
    const ties = call.ties!;
    if (!this.#timed || byMs >= ties.byMs) return;
    const lane = this.#laneOf(ties.partition);
    lane.hurried?.remove(ties);
    ties.byMs = byMs;
    this.#noteHurry(lane, ties);
    this.#place(lane);
  }

  /** The calls of the next batch of whichever lane has been ready longest; lanes take turns. */
  take(): Call<I, O>[] {
    const lane = this.#ready.first!;
    const { maxSize, maxWeight } = this.#rules;
    let weight = 0;
    const calls = lane.take(
      maxSize,
      maxWeight === Infinity ? undefined : ({ ties }) => (weight += ties!.weight) <= maxWeight,
    );
    for (const { ties } of calls) if (ties !== undefined) this.#untie(lane, ties);
    this.size -= calls.length;
    this.#ready.remove(lane);
    this.#place(lane);
    return calls;
  }

  /** Closes all windows. */
  closeAll(): void {
    for (let lane = this.#windows.peek(); lane !== undefined; lane = this.#windows.peek()) {
      this.#makeReady(lane);
    }
    this.#arm();
  }

  /** Takes everybody out. */
  *drain(): Iterable<Call<I, O>> {
    for (const lane of [this.#main, ...this.#lanes.values()]) {
      for (const call of lane.take(Infinity)) {
        if (call.ties !== undefined) this.#untie(lane, call.ties);
        this.size--;
        yield call;
      }
      this.#place(lane);
    }
  }

  #laneOf(partition: unknown): Lane<I, O> {
    if (partition === undefined) return this.#main;
    let lane = this.#lanes.get(partition);
    if (lane === undefined) this.#lanes.set(partition, lane = new Lane(partition));
    return lane;
  }

  /** One of those with ties has been taken out. */
  #untie(lane: Lane<I, O>, ties: Ties<I, O>): void {
    lane.weight = lane.size === 0 ? 0 : lane.weight - ties.weight;
    lane.hurried?.remove(ties);
    lane.byKey?.delete(ties.key);
  }

  #noteTimes(lane: Lane<I, O>, call: Call<I, O>): void {
    const { quietMs, maxWaitMs, maxWeight } = this.#rules;
    if (quietMs < maxWaitMs) lane.lastMs = clock().now();
    // One that joins the open window has its time; one that comes too late for the next batch will have its own.
    const joins = lane.heapIndex >= 0 && lane.weight + (call.ties?.weight ?? 0) <= maxWeight;
    call.sinceMs = joins ? lane.first!.sinceMs : clock().now();
    if (call.ties !== undefined && call.ties.byMs !== Infinity) this.#noteHurry(lane, call.ties);
  }

  #noteHurry(lane: Lane<I, O>, ties: Ties<I, O>): void {
    (lane.hurried ??= new Heap((a, b) => a.byMs < b.byMs)).push(ties);
  }

  #isFull(lane: Lane<I, O>): boolean {
    return lane.size >= this.#rules.maxSize || lane.weight >= this.#rules.maxWeight;
  }

  /** Puts a lane where it belongs now: away when it is empty, among those with a window, or among the ready ones. */
  #place(lane: Lane<I, O>): void {
    if (lane.size === 0) {
      this.#windows.remove(lane);
      this.#ready.remove(lane);
      if (lane !== this.#main) this.#lanes.delete(lane.partition);
    } else if (this.#isFull(lane) || lane.first!.cohort.flushed) {
      if (!lane.ready) this.#makeReady(lane);
    } else if (this.#timed) {
      const { maxWaitMs, quietMs } = this.#rules;
      const dueMs = lane.windowEnd(maxWaitMs, quietMs);
      if (dueMs <= clock().now()) {
        if (!lane.ready) this.#makeReady(lane);
      } else if (lane.ready || lane.heapIndex < 0 || dueMs !== lane.dueMs) this.#open(lane, dueMs);
    } else if (lane.ready || lane.heapIndex < 0) this.#holdOpen(lane);
    this.#arm();
  }

  #makeReady(lane: Lane<I, O>): void {
    this.#windows.remove(lane);
    this.#ready.push(lane);
  }

  #open(lane: Lane<I, O>, dueMs: number): void {
    this.#ready.remove(lane);
    if (!this.#windows.remove(lane)) lane.order = ++this.#opened;
    lane.dueMs = dueMs;
    this.#windows.push(lane);
  }

  /** Opens a window of 0 ms, or holds it open as something was added. */
  #holdOpen(lane: Lane<I, O>): void {
    if (lane.heapIndex < 0) this.#open(lane, Infinity);
    const open = this.#turnsLeft > 0;
    this.#turnsLeft = QUIET_TURNS;
    if (!open) void settled.then(this.#turn);
  }

  readonly #turn = (): void => {
    if (--this.#turnsLeft > 0) void settled.then(this.#turn);
    else {
      this.closeAll();
      this.#due();
    }
  };

  /** One timer, for the window that closes first. */
  #arm(): void {
    const atMs = this.#timed ? this.#windows.peek()?.dueMs ?? Infinity : Infinity;
    if (atMs === this.#timerMs) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#timerMs = atMs;
    if (atMs !== Infinity) this.#timer = clock().schedule(atMs, () => this.#fire(atMs), { ref: true });
  }

  #fire(atMs: number): void {
    const { maxWaitMs, quietMs } = this.#rules;
    this.#timer = undefined;
    this.#timerMs = Infinity;
    for (
      let lane = this.#windows.peek();
      lane !== undefined && lane.dueMs <= atMs;
      lane = this.#windows.peek()
    ) {
      // It counts as due even where `now` has not moved. What was added in the meantime may have put it off, though.
      const dueMs = lane.windowEnd(maxWaitMs, quietMs);
      if (dueMs > atMs) this.#open(lane, dueMs);
      else this.#makeReady(lane);
    }
    this.#arm();
    this.#due();
  }
}
