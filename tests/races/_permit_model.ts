/** What anything with permits should do, in a few lines: strict first come, first served, and every permit accounted for. */
import assert from "node:assert/strict";
import { ignore } from "../../src/kernel/deferred.ts";
import { MisuseError, TimeoutError } from "../../src/kernel/errors.ts";
import type { World } from "../../src/testing/mod.ts";
import type { Hold, PermitKind, PermitLike } from "./_permit_like.ts";

/** One thing that happens. Which of several it happens to is `which`, counted around. */
export type Step =
  | { do: "acquire"; weight: number; limitMs: number; shared: boolean }
  | { do: "try"; weight: number }
  | { do: "release" | "releaseTwice" | "abort" | "abortReleasing" | "abortHolder"; which: number }
  | { do: "resize"; to: number }
  | { do: "advance"; ms: number }
  | { do: "turn" };

type Outcome = "waiting" | "granted" | "tried" | "aborted" | "timed out" | "refused" | "sent away";

interface Waiting {
  readonly id: number;
  readonly weight: number;
  readonly untilMs: number;
  readonly controller: AbortController;
}

class Model {
  readonly line: Waiting[] = [];
  readonly holding = new Map<number, number>();
  readonly outcomes: Outcome[] = [];
  capacity: number;
  inUse = 0;
  /** Whether anything was let in or given back, or may be, since this was reset. */
  moved = false;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  fits(weight: number): boolean {
    return this.line.length === 0 && this.inUse + weight <= this.capacity;
  }

  hold(id: number, weight: number, outcome: "granted" | "tried"): void {
    this.holding.set(id, weight);
    this.inUse += weight;
    this.moved = true;
    this.outcomes[id] = outcome;
  }

  giveBack(id: number): void {
    this.inUse -= this.holding.get(id)!;
    this.moved = true;
    this.holding.delete(id);
    this.settle();
  }

  /** Grants from the head as long as it fits. */
  settle(): void {
    while (this.line.length > 0 && this.inUse + this.line[0]!.weight <= this.capacity) {
      const { id, weight } = this.line.shift()!;
      this.hold(id, weight, "granted");
    }
  }

  /** Those who match leave, and only then is anybody granted what they held up. */
  leave(match: (waiting: Waiting) => boolean, outcome: Outcome): void {
    const left = this.line.filter(match);
    for (const waiting of left) {
      this.line.splice(this.line.indexOf(waiting), 1);
      this.outcomes[waiting.id] = outcome;
    }
    if (left.length > 0) this.settle();
  }
}

const ABORTED = { reason: "of the abort" };
const CLOSED = { reason: "of the close" };

/** Puts one structure through steps beside its model, and compares the two after each. */
export class Run {
  readonly #kind: PermitKind;
  readonly #permits: PermitLike;
  readonly #model: Model;
  readonly #world: World;
  readonly #holds = new Map<number, Hold>();
  readonly #controllers = new Map<number, AbortController>();
  readonly #waits: Promise<unknown>[] = [];
  /** In which order those were let in who had to wait. */
  readonly #order: number[] = [];
  #shared = this.#controller();
  /** What a listener of the user's own does at an abort, before the structure has heard of it. */
  #atAbort: (() => void) | undefined;

  constructor(kind: PermitKind, capacity: number, world: World) {
    this.#kind = kind;
    this.#permits = kind.make(capacity);
    this.#model = new Model(capacity);
    this.#world = world;
  }

  /** Does one step; gives a promise only if it takes turns, as promises under a test runner are not cheap. */
  take(step: Step): Promise<void> | undefined {
    const model = this.#model;
    switch (step.do) {
      case "acquire":
        this.#acquire(step);
        break;
      case "try":
        this.#try(step.weight);
        break;
      case "release":
      case "releaseTwice":
        this.#release(step.which, step.do === "releaseTwice");
        break;
      case "abort":
        if (model.line.length > 0) this.#abort(model.line[step.which % model.line.length]!.controller);
        break;
      case "abortReleasing":
        if (model.line.length === 0) break;
        this.#atAbort = () => this.#release(step.which, false);
        this.#abort(model.line[step.which % model.line.length]!.controller);
        break;
      case "abortHolder": {
        // Too late for the grant; others may still wait with the same signal.
        const holders = [...this.#holds.keys()];
        const controller = this.#controllers.get(holders[step.which % holders.length]!);
        if (controller !== undefined) this.#abort(controller);
        break;
      }
      case "resize":
        if (this.#permits.resize === undefined) break;
        this.#permits.resize(step.to);
        model.capacity = step.to;
        model.moved = true;
        if (this.#kind.refusesWeights) model.leave(({ weight }) => weight > step.to, "sent away");
        model.settle();
        break;
      case "advance":
        return this.#advance(step.ms).then(this.#compare);
      case "turn":
        return Promise.resolve().then(this.#compare);
    }
    if (this.#kind.turns !== undefined && model.moved) return this.settle().then(this.#compare);
    this.#compare();
  }

  /** Until what was let in has begun, and what was given back is free. */
  async settle(): Promise<void> {
    this.#model.moved = false;
    for (let turn = 0; turn < (this.#kind.turns ?? 0); turn++) {
      await undefined;
      if (this.#permits.isStill?.()) return;
    }
  }

  #controller(): AbortController {
    const controller = new AbortController();
    controller.signal.addEventListener("abort", () => {
      // In the model, who gives up by this abort is gone by now.
      this.#model.leave((waiting) => waiting.controller === controller, "aborted");
      this.#atAbort?.();
      this.#atAbort = undefined;
    });
    return controller;
  }

  #acquire({ weight, limitMs, shared }: Step & { do: "acquire" }): void {
    const model = this.#model;
    const id = model.outcomes.length;
    const controller = shared ? this.#shared : this.#controller();
    const refused = this.#kind.refusesWeights && weight > model.capacity;
    const wait = this.#permits.acquire({ weight, signal: controller.signal, timeoutMs: limitMs });
    model.outcomes.push("waiting");
    this.#controllers.set(id, controller);
    let waited = false;
    this.#waits.push(wait.then((hold) => {
      this.#holds.set(id, hold);
      if (waited) this.#order.push(id);
    }));
    this.#waits.at(-1)!.catch(ignore);
    if (refused) {
      model.outcomes[id] = "refused";
      return;
    }
    model.line.push({ id, weight, untilMs: this.#world.now + limitMs, controller });
    model.settle();
    waited = model.outcomes[id] === "waiting";
  }

  #try(weight: number): void {
    const { tryAcquire } = this.#permits;
    const model = this.#model;
    if (tryAcquire === undefined) return;
    if (this.#kind.refusesWeights && weight > model.capacity) {
      assert.throws(() => tryAcquire(weight), RangeError);
      return;
    }
    const hold = tryAcquire(weight);
    assert.equal(hold !== undefined, model.fits(weight));
    if (hold === undefined) return;
    const id = model.outcomes.length;
    this.#holds.set(id, hold);
    model.hold(id, weight, "tried");
    this.#waits.push(Promise.resolve());
  }

  #release(which: number, twice: boolean): void {
    // Those who were let in, but have not run on yet, hold too; they can't give back before they know.
    const holders = this.#kind.oldestFirst
      ? [...this.#model.holding.keys()].slice(0, 1)
      : [...this.#holds.keys()];
    const id = holders[which % holders.length];
    const hold = id === undefined ? undefined : this.#holds.get(id);
    if (id === undefined || hold === undefined) return;
    this.#holds.delete(id);
    hold.release();
    this.#model.giveBack(id);
    if (twice && hold.releaseAgain !== undefined) {
      const [disposed, released] = hold.releaseAgain();
      assert.equal(disposed, undefined, "disposing again does nothing");
      assert.ok(released instanceof MisuseError, "releasing again is misuse");
    }
  }

  #abort(controller: AbortController): void {
    if (controller === this.#shared) this.#shared = this.#controller();
    controller.abort(ABORTED);
  }

  async #advance(ms: number): Promise<void> {
    await this.#world.advance(ms);
    const { now } = this.#world;
    const late = this.#model.line.filter(({ untilMs }) => untilMs <= now);
    for (const waiting of late.sort((a, b) => a.untilMs - b.untilMs)) {
      // Unless it was let in meanwhile by one before it that gave up.
      this.#model.leave((other) => other === waiting, "timed out");
    }
  }

  readonly #compare = (): void => {
    const { inUse, waiting } = this.#permits.counts();
    const { inUse: held, line } = this.#model;
    if (inUse === held && waiting === line.length) return;
    assert.deepEqual({ inUse, waiting }, { inUse: held, waiting: line.length });
  };

  /** Gives everything back, and sees that everybody was served, in order, and nothing is lost. */
  async end(close: boolean): Promise<void> {
    const [model, permits] = [this.#model, this.#permits];
    await this.#advance(0);
    if (close && permits.close !== undefined) {
      permits.close(CLOSED);
      model.leave(() => true, "sent away");
      if (model.capacity > 0) {
        assert.equal(permits.tryAcquire?.(1), undefined);
        const { signal } = new AbortController();
        const late = permits.acquire({ weight: 1, signal, timeoutMs: 0 });
        await assert.rejects(late, (reason) => reason === CLOSED);
      }
    } else if (model.capacity < this.#kind.maxWeight && permits.resize !== undefined) {
      await this.take({ do: "resize", to: this.#kind.maxWeight });
      await this.#advance(0);
    }
    while (model.holding.size > 0) {
      await this.take({ do: "release", which: 0 });
      await this.#advance(0);
    }
    assert.equal(model.line.length, 0);
    const ends = await Promise.allSettled(this.#waits);
    ends.forEach((end, id) => assert.equal(this.#outcome(end, id), model.outcomes[id], `of call ${id}`));
    assert.deepEqual(this.#order, this.#order.toSorted((a, b) => a - b), "let in by the order of asking");
    const totals = permits.totals();
    const count = (...words: Outcome[]): number =>
      model.outcomes.filter((word) => words.includes(word)).length;
    if (totals.granted !== undefined) assert.equal(totals.granted, count("granted", "tried"));
    if (totals.aborted !== undefined) assert.equal(totals.aborted, count("aborted"));
    assert.equal(totals.timedOut, count("timed out"));
    assert.deepEqual(this.#world.timers, []);
  }

  #outcome(end: PromiseSettledResult<unknown>, id: number): Outcome {
    if (end.status === "fulfilled") return this.#model.outcomes[id] === "tried" ? "tried" : "granted";
    const { reason } = end;
    if (reason === ABORTED) return "aborted";
    if (reason === CLOSED) return "sent away";
    if (reason instanceof TimeoutError) return "timed out";
    assert.ok(reason instanceof RangeError, String(reason));
    return this.#model.outcomes[id] === "refused" ? "refused" : "sent away";
  }
}
