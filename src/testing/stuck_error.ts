/** The report on a test that can never end. */
import type { Observer, ObserverRecord } from "../kernel/observer.ts";
import type { GroupTree } from "../task/group_options.ts";
import { drawTrees } from "./_tree.ts";
import { count, describeTimers } from "./_words.ts";
import type { VirtualTimer } from "./virtual_clock.ts";

export type { GroupTree } from "../task/group_options.ts";

/** How things stood when a test got stuck. */
export interface StuckState {
  /** Whether nothing could run any more, or things ran without end. */
  readonly why: "idle" | "endless";
  /** The seed of the test world. */
  readonly seed: number;
  /** Whether time moved by itself. */
  readonly auto: boolean;
  /** Virtual time, in milliseconds. */
  readonly nowMs: number;
  /** How often time was moved, or timers were run. */
  readonly steps: number;
  /** Waiters in the library's queues, beyond those before the test. */
  readonly waiters: number;
  /** Subscriptions of the library to abort signals, beyond those before the test. */
  readonly subscriptions: number;
  /** The timers left. */
  readonly timers: readonly VirtualTimer[];
  /** The task groups that are open and not within a task of another, with their tasks. */
  readonly groups: readonly GroupTree[];
  /** What the library did last, the latest last. */
  readonly recent: readonly ObserverRecord[];
}

/** Nothing can run and the test is not finished, or it goes on without end. */
export class StuckError extends Error {
  static {
    this.prototype.name = "StuckError";
  }
  /** How things stood. */
  readonly state: StuckState;

  /** Creates the error from the facts. */
  constructor(state: StuckState) {
    super([`Cannot finish the test: ${describe(state)}`, ...drawTrees(state.groups)].join("\n"));
    this.state = state;
  }
}

/** Keeps the last few records. */
export class Recent implements Observer {
  readonly #records: ObserverRecord[] = [];

  record(event: ObserverRecord): void {
    if (this.#records.push(event) > 8) this.#records.shift();
  }

  get records(): readonly ObserverRecord[] {
    return [...this.#records];
  }
}

function describe(state: StuckState): string {
  const { why, seed, auto, nowMs, steps, waiters, subscriptions, timers, recent } = state;
  const what = why === "endless"
    ? `it is not finished after ${count(steps, "step")} of time`
    : auto
    ? "nothing can run and it is not finished"
    : "nothing can run, it is not finished, and time moves only by advance()";
  return [
    `${what}, at ${nowMs} ms, seed ${seed}`,
    `${count(waiters, "waiter")}, ${count(subscriptions, "subscription")} to abort signals, ${
      timers.length === 0 ? "no timer" : `${count(timers.length, "timer")} (${describeTimers(timers)})`
    }`,
    ...(recent.length > 0 ? [`last happened: ${recent.map(tell).join(", ")}`] : []),
    ...(why === "idle" ? ["real I/O can be waited for by external() only"] : []),
  ].join("; ");
}

/** `wait lock "orders" (1 waiting)`. */
function tell({ kind, structure, name, data }: ObserverRecord): string {
  const waiting = (data as { waiting?: unknown } | undefined)?.waiting;
  return `${kind} ${structure}${name === undefined ? "" : ` ${JSON.stringify(name)}`}${
    typeof waiting === "number" ? ` (${waiting} waiting)` : ""
  }`;
}
