/** The engine of a rate limiter: buckets, those who wait for them, one timer for the first of these, and a gate above. */
import { subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { Place } from "../kernel/wait_queue.ts";
import { Bucket, type RateAlgorithm } from "./_rate_algorithm.ts";
import { lateIn } from "./_rate_ahead.ts";
import { Booking } from "./_rate_booking.ts";
import { RateBuckets } from "./_rate_buckets.ts";
import { isPromised, RateLine, type RateLineOwner, type RateRequest } from "./_rate_line.ts";
import { keepPromises } from "./_rate_promises.ts";
import { keysError, limitError, type Outlook, rateLimitError } from "./_rate_refusal.ts";
import { RateTimer } from "./_rate_timer.ts";
import type { RateLimitError } from "./rate_limit_error.ts";

/** What floating point sums may be off by, of a weight. */
const SLACK = 1e-9;

/** What a {@linkcode RateGate} is made of. */
export interface RateGateOptions {
  name: string | undefined;
  algorithm: RateAlgorithm;
  parent: RateGate | undefined;
  maxKeys: number;
  maxQueue: number;
}

/** See the file. The limiter over it has checked the arguments. */
export class RateGate implements RateLineOwner {
  readonly name: string | undefined;
  /** What is tried here, as it stands in messages after "Cannot". */
  readonly doing: string;
  readonly algorithm: RateAlgorithm;
  readonly parent: RateGate | undefined;
  readonly maxQueue: number;
  /** The bucket of calls without a key. */
  readonly own: Bucket<RateLine> = new Bucket(undefined);
  readonly buckets: RateBuckets<RateLine>;
  /** Nobody is served before, whatever the key. */
  pausedUntilMs = -Infinity;
  /** Set once closed. */
  closedWith: { readonly reason: unknown } | undefined;
  /** The totals, but for what the lines that there are have counted themselves. */
  readonly totals = { granted: 0, aborted: 0, timedOut: 0, refused: 0 };
  /** How many wait, over all lines. */
  waiting = 0;
  readonly lines: Set<RateLine> = new Set();
  /** The gates below that have lines, or gates with lines below them: only as long, so that none is kept by this. */
  readonly #below: Set<RateGate> = new Set();
  readonly #timer = new RateTimer((line, nowMs) => this.serve(line, nowMs));
  #made = 0;
  /** Whether it is open, and none is above it. */
  #alone: boolean;

  constructor({ name, algorithm, parent, maxKeys, maxQueue }: RateGateOptions) {
    this.name = name;
    this.doing = `acquire from ${this.describe()}`;
    this.algorithm = algorithm;
    this.parent = parent;
    this.maxQueue = maxQueue;
    this.#alone = parent === undefined;
    this.buckets = new RateBuckets(algorithm, maxKeys, (bucket, nowMs) => this.#isBusy(bucket, nowMs));
  }

  describe(): string {
    return subject("rate limiter", this.name);
  }

  /** How much can be had at once at most, here and above. */
  get most(): number {
    return Math.min(this.algorithm.most, this.parent?.most ?? Infinity);
  }

  /** What to refuse calls with when this or what is above is closed. */
  get refusal(): { readonly reason: unknown } | undefined {
    return this.closedWith ?? this.parent?.refusal;
  }

  /** When so much could be had, whoever waits. */
  fitsAt(bucket: Bucket<RateLine>, weight: number, nowMs: number): number {
    const fromMs = this.openFrom(bucket, nowMs);
    return fromMs === Infinity ? Infinity : this.algorithm.fitsAt(bucket, weight, fromMs);
  }

  /** Takes so much, here and above, if it can be had now and nobody waits for it. */
  tryTake(bucket: Bucket<RateLine>, weight: number, nowMs: number): boolean {
    if (this.#alone && bucket.line === undefined && this.pausedUntilMs <= nowMs) {
      // Nothing but the counts to look at: what nearly every call comes to.
      if (!this.algorithm.tryTake(bucket, weight, nowMs)) return false;
    } else {
      if (!this.#isFree(bucket, weight, nowMs)) return false;
      this.#take(bucket, weight, nowMs);
    }
    this.totals.granted++;
    if (observed()) this.#tell("acquire", bucket.key, { weight });
    return true;
  }

  /** The same, for somebody who may give it back. */
  tryBook(bucket: Bucket<RateLine>, weight: number, nowMs: number): Booking | undefined {
    if (!this.#isFree(bucket, weight, nowMs)) return undefined;
    const booking = this.#book(bucket, weight, nowMs);
    this.totals.granted++;
    if (observed()) this.#tell("acquire", bucket.key, { weight });
    return booking;
  }

  /** Waits behind all who wait for the bucket already. */
  wait(
    bucket: Bucket<RateLine>,
    request: RateRequest,
    nowMs: number,
    options?: WaitOptions,
  ): Promise<Booking | undefined> {
    const line = this.#lineOf(bucket);
    const waiting = line.queue.wait(request, options);
    this.serve(line, nowMs);
    return waiting;
  }

  /** Waits for a reservation, which is never refused by itself. */
  join(
    bucket: Bucket<RateLine>,
    request: RateRequest,
    nowMs: number,
    booked: (booking: Booking | undefined) => void,
  ): Place {
    const line = this.#lineOf(bucket);
    const place = line.queue.join(request, undefined, booked, () => {});
    this.serve(line, nowMs);
    return place;
  }

  /** Serves the head of a line as long as it can be. */
  serve(line: RateLine, nowMs: number = clock().now()): void {
    if (line.serving) return;
    line.serving = true;
    try {
      while (this.#serveHead(line, nowMs));
    } finally {
      line.serving = false;
    }
  }

  /** Above, the head of the line can be served: serves it if it can be here too, and then the next as ever. */
  called(line: RateLine, nowMs: number): void {
    const head = line.queue.head();
    if (head !== undefined && this.#fits(line.bucket, head.weight, nowMs)) this.#letIn(line, nowMs);
    this.serve(line, nowMs);
  }

  /** How much could be had now, in whole; without a bucket, of one that nothing was taken from. */
  available(bucket: Bucket<RateLine> | undefined): number {
    if (this.refusal !== undefined) return 0;
    const nowMs = clock().now();
    if (bucket === undefined) return this.pausedUntilMs > nowMs ? 0 : this.algorithm.most;
    if (this.#isWaitedFor(bucket, nowMs) || this.openFrom(bucket, nowMs) > nowMs) return 0;
    return Math.floor(this.algorithm.room(bucket, nowMs) + SLACK);
  }

  /** Sends those away who ask for more than can be had at once, but for reservations: they have been promised. */
  refuseTooHeavy(line: RateLine): void {
    const { most } = this;
    const isTooHeavy = (one: RateRequest) => one.line === undefined && !isPromised(one) && one.weight > most;
    line.queue.rejectWhere(isTooHeavy, this.#tooHeavy(most));
  }

  /** Something has changed for all lines, or for that of `bucket`. */
  changed(bucket: Bucket<RateLine> | undefined, nowMs: number): void {
    const lines = bucket === undefined ? this.lines : bucket.line === undefined ? [] : [bucket.line];
    for (const line of lines) {
      line.ahead = undefined;
      if (line.reserved > 0) keepPromises(this, line, nowMs);
    }
    for (const line of [...lines]) {
      this.serve(line, nowMs);
      if (line.pressed > 0) this.#refuseLate(line, nowMs);
    }
  }

  /** Lets nobody be served before a moment. An earlier one than is set already changes nothing. */
  pause(bucket: Bucket<RateLine> | undefined, untilMs: number, nowMs: number): void {
    if (untilMs <= nowMs) return;
    const paused = bucket === undefined ? this : this.#lineOf(bucket);
    if (untilMs <= paused.pausedUntilMs) return;
    paused.pausedUntilMs = untilMs;
    this.changed(bucket, nowMs);
  }

  /** Ends a pause. */
  resume(bucket: Bucket<RateLine> | undefined, nowMs: number): void {
    const paused = bucket === undefined ? this : bucket.line;
    if (paused === undefined) return;
    paused.pausedUntilMs = -Infinity;
    this.changed(bucket, nowMs);
  }

  /**
   * The error for a call that could be served at `atMs`, and `within` is how that is too late; without a bucket, when
   * there may be no more.
   */
  refuse(
    bucket: Bucket<RateLine> | undefined,
    key: string | undefined,
    weight: number,
    atMs: number,
    within: string,
  ): RateLimitError {
    this.totals.refused++;
    const outlook = this.#outlook(bucket, key, atMs);
    const error = bucket === undefined
      ? keysError(outlook, weight, within, this.buckets.size)
      : rateLimitError(outlook, weight, within);
    if (observed()) this.#tell("refuse", key, { weight, retryAfterMs: error.retryAfterMs });
    return error;
  }

  /** Sends everybody away for good. */
  close(reason: unknown): void {
    this.closedWith = { reason };
    this.#alone = false;
    this.#sendAway(reason);
  }

  /** Rejects all who wait, here and below: who waits there would have to get through here. */
  #sendAway(reason: unknown): void {
    for (const line of [...this.lines]) {
      line.queue.settleAll(reason);
      this.serve(line);
    }
    for (const gate of [...this.#below]) gate.#sendAway(reason);
  }

  /** Whether so much can be had now by somebody who comes now, here and above. */
  #isFree(bucket: Bucket<RateLine>, weight: number, nowMs: number): boolean {
    if (this.closedWith !== undefined || this.#isWaitedFor(bucket, nowMs)) return false;
    if (this.fitsAt(bucket, weight, nowMs) > nowMs) return false;
    return this.#isFreeAbove(weight, nowMs);
  }

  /** Whether somebody waits for it still, who comes first. */
  #isWaitedFor(bucket: Bucket<RateLine>, nowMs: number): boolean {
    if (bucket.line === undefined) return false;
    // Who is due, or holds others up although its signal is aborted by now.
    this.serve(bucket.line, nowMs);
    return bucket.line !== undefined && bucket.line.queue.size > 0;
  }

  #isFreeAbove(weight: number, nowMs: number): boolean {
    return this.parent === undefined || this.parent.#isFree(this.parent.own, weight, nowMs);
  }

  /** Whether so much can be had now, whoever waits. */
  #fits(bucket: Bucket<RateLine>, weight: number, nowMs: number): boolean {
    return this.fitsAt(bucket, weight, nowMs) <= nowMs &&
      (this.parent === undefined || this.parent.#fits(this.parent.own, weight, nowMs));
  }

  /** From when on the bucket is not paused. */
  openFrom(bucket: Bucket<RateLine>, nowMs: number): number {
    const fromMs = this.pausedUntilMs > nowMs ? this.pausedUntilMs : nowMs;
    return bucket.line !== undefined && bucket.line.pausedUntilMs > fromMs
      ? bucket.line.pausedUntilMs
      : fromMs;
  }

  #take(bucket: Bucket<RateLine>, weight: number, nowMs: number): void {
    this.algorithm.take(bucket, weight, nowMs);
    const { parent } = this;
    if (parent === undefined) return;
    parent.#take(parent.own, weight, nowMs);
    parent.totals.granted++;
  }

  #book(bucket: Bucket<RateLine>, weight: number, nowMs: number): Booking {
    const receipt = this.algorithm.takeForNow(bucket, weight, nowMs);
    const { parent } = this;
    const above = parent === undefined ? undefined : parent.#book(parent.own, weight, nowMs);
    if (parent !== undefined) parent.totals.granted++;
    return new Booking(receipt, above, () => {
      if (bucket.line === undefined) return;
      bucket.line.ahead = undefined;
      this.serve(bucket.line);
    });
  }

  /** One step of {@linkcode serve}. @returns Whether there may be another. */
  #serveHead(line: RateLine, nowMs: number): boolean {
    const head = line.queue.head();
    if (head === undefined) {
      this.#tidy(line, nowMs);
      return false;
    }
    const promised = isPromised(head);
    // It was less when they came: somebody has resized this, or what is above.
    if (head.weight > this.most && !promised) {
      if (head.line === undefined) this.refuseTooHeavy(line);
      else {
        head.line.place!.leave();
        head.line.place = undefined;
        head.line.gate.serve(head.line, nowMs);
      }
      return true;
    }
    // A reservation is counted at its moment, even if it is too much by now: that is when it is used.
    const atMs = promised ? head.notBeforeMs : this.fitsAt(line.bucket, head.weight, nowMs);
    if (atMs > nowMs) {
      if (line.place !== undefined) line.stepBack();
      this.#timer.set(line, atMs);
      return false;
    }
    if (line.place === undefined && this.#isFreeAbove(head.weight, nowMs)) {
      this.#letIn(line, nowMs);
      return true;
    }
    // The gate above will call, and looks again now, as the head may be another than the one it knew.
    this.#timer.set(line, Infinity);
    this.parent!.#admit(line, nowMs);
    return line.place === undefined;
  }

  /** A line of the floor below waits here for its head. */
  #admit(line: RateLine, nowMs: number): void {
    const mine = this.#lineOf(this.own);
    if (line.place === undefined) {
      const rejected = (reason: unknown): void => {
        line.place = undefined;
        line.queue.settleAll(reason);
      };
      line.asked = line.weight;
      line.above = mine;
      mine.queue.join(line, undefined, () => {}, rejected, (place) => line.place = place);
    } else if (line.weight > line.asked) {
      // Another is at its head now, and holds those up who stand behind it here.
      line.asked = line.weight;
      mine.ahead = undefined;
      if (mine.reserved > 0) keepPromises(this, mine, nowMs);
    }
    this.serve(mine, nowMs);
  }

  /** Serves the head of a line: here and above it can be. */
  #letIn(line: RateLine, nowMs: number): void {
    const head = line.queue.head();
    if (head === undefined) return;
    if (head.line !== undefined) {
      const { place } = head.line;
      head.line.place = undefined;
      place!.leave();
      // An observer of that may have changed everything: it is looked at again.
      head.line.gate.called(head.line, nowMs);
      return;
    }
    // Nobody is told before the grant: an observer could abort this head, and another would get its share.
    if (head.forNow) line.queue.grant(this.#book(line.bucket, head.weight, nowMs));
    else {
      this.#take(line.bucket, head.weight, nowMs);
      line.queue.grant(undefined);
    }
    if (observed()) this.#tell("acquire", line.bucket.key, { weight: head.weight });
  }

  #refuseLate(line: RateLine, nowMs: number): void {
    const late = lateIn(this, line, nowMs);
    for (const { waiter, atMs } of late) {
      if (!waiter.waiting) continue;
      const { bucket } = line;
      const error = this.refuse(bucket, bucket.key, waiter.data.weight, atMs, " in time any more");
      line.queue.dismiss(waiter, error);
    }
    if (late.length > 0) this.serve(line, nowMs);
  }

  #tooHeavy(most: number): RangeError {
    return new RangeError(
      `Cannot ${this.doing} as weight must be at most its burst: it was resized to ${most}`,
    );
  }

  #lineOf(bucket: Bucket<RateLine>): RateLine {
    if (bucket.line !== undefined) return bucket.line;
    const line: RateLine = new RateLine(this, bucket, {
      what: "acquire from rate limiter",
      structure: "rate limiter",
      name: this.name,
      expired: (operation, limitMs) => {
        // Asked before the waiter gives up: whose turn comes at the very moment of its limit, is granted it.
        this.serve(line);
        const weight = line.queue.oldest?.data.weight ?? 1;
        const atMs = this.fitsAt(bucket, weight, clock().now());
        return limitError(this.#outlook(bucket, bucket.key, atMs), operation, limitMs);
      },
    });
    line.order = this.#made++;
    this.lines.add(line);
    this.#enlist();
    return bucket.line = line;
  }

  /** Lets the gate above know this one, as there is somebody to send away. */
  #enlist(): void {
    const { parent } = this;
    if (parent === undefined || parent.#below.has(this)) return;
    parent.#below.add(this);
    parent.#enlist();
  }

  /** Lets the gate above forget this one when nobody is left. */
  #delist(): void {
    const { parent } = this;
    if (parent === undefined || this.lines.size > 0 || this.#below.size > 0) return;
    parent.#below.delete(this);
    parent.#delist();
  }

  /** Nobody waits: without a pause, the line is not needed any more. */
  #tidy(line: RateLine, nowMs: number): void {
    if (line.place !== undefined) line.stepBack();
    this.#timer.set(line, Infinity);
    if (line.pausedUntilMs > nowMs || line.bucket.line !== line) return;
    line.bucket.line = undefined;
    this.lines.delete(line);
    this.#delist();
    const { granted, aborted, timedOut } = line.queue.totals;
    this.totals.granted += granted;
    this.totals.aborted += aborted;
    this.totals.timedOut += timedOut;
  }

  #isBusy(bucket: Bucket<RateLine>, nowMs: number): boolean {
    if (bucket.line === undefined) return false;
    if (bucket.line.queue.size === 0) this.#tidy(bucket.line, nowMs);
    return bucket.line !== undefined;
  }

  #outlook(bucket: Bucket<RateLine> | undefined, key: string | undefined, atMs: number): Outlook {
    const waitMs = Math.max(0, atMs - clock().now());
    return { doing: this.doing, key, waitMs, waiting: bucket?.line?.queue.size ?? 0 };
  }

  #tell(kind: string, key: string | undefined, data: object): void {
    emit(kind, "rate limiter", this.name, { ...(key === undefined ? {} : { key }), ...data });
  }
}
