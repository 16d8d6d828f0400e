/**
 * Everything that waits, given up at every point and run in many orders: no permit is lost, nothing is left behind,
 * nobody who goes on waiting is forgotten.
 *
 * Whoever adds an operation that waits adds a scene with it to a file in `_waiting/`.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { leaves } from "../../src/kernel/errors.ts";
import { explore, sweep, type World, world } from "../../src/testing/mod.ts";
import { declarationsIn, publicDeclarations, publicNames, publicWaits } from "./_public_waits.ts";
import type { Operation, Scene } from "./_scene.ts";
import { waitingOperations } from "./_waiting_operations.ts";
import { isSource } from "../_suite.ts";

const { operations, still } = await waitingOperations();

describe("aborted at every point", () => {
  for (const { name, scene } of operations) {
    test(name, async () => {
      let now: Scene | undefined;
      const { points } = await sweep((signal, w) => (now = scene()).act(signal, w), () => now!.check());
      assert.ok(points > 5, `it was pending at ${points} points only: does it wait?`);
    });
  }
});

/** Aborts at some turn or at some time, or never, as the seed says. */
function abortSomewhen({ seed }: World, abort: () => void): () => void {
  const over = new AbortController();
  if (seed % 3 === 1) {
    void (async () => {
      for (let turn = seed * 7 % 40; turn > 0; turn--) await undefined;
      if (!over.signal.aborted) abort();
    })();
  } else if (seed % 3 === 2) sleep(seed * 5 % 13, over).then(abort, ignore);
  return () => over.abort();
}

const reasons = [new DOMException("enough", "AbortError"), "enough", null, { enough: true }];

describe("given up in any order of events", () => {
  for (const { name, scene } of operations) {
    test(name, async () => {
      await explore(async (w) => {
        const controller = new AbortController();
        const reason = reasons[w.seed % reasons.length];
        const stop = abortSomewhen(w, () => controller.abort(reason));
        const { act, check } = scene();
        try {
          await act(controller.signal, w);
        } catch (error) {
          // The reason is the rejection, untouched, whatever it came through.
          for (const leaf of leaves(error)) if (leaf !== reason) throw error;
        } finally {
          stop();
        }
        await check();
      }, { runs: isSource ? 60 : 20 });
    });
  }
});

type Class = { prototype: object } & object;

/** `AsyncLock` of `AsyncLock.acquire`. */
const ownerOf = (name: string): string => /^\w+/.exec(name)![0];

/** What is exported, by name. */
async function exported(): Promise<Map<string, unknown>> {
  const doors = await Promise.all([import("../../mod.ts"), import("../../src/app/mod.ts")]);
  return new Map(doors.flatMap((door) => Object.entries(door)));
}

/** The classes among it. */
async function exportedClasses(): Promise<Map<string, Class>> {
  const all = [...await exported()] as [string, Class][];
  return new Map(all.filter(([, value]) => /^class\b/.test(Function.prototype.toString.call(value))));
}

/** Of the methods that an operation covers, those that its scene has called, and that made it wait. */
async function waitedIn({ covers, scene }: Operation, classes: Map<string, Class>): Promise<Set<string>> {
  const waited = new Set<string>();
  const restore: (() => void)[] = [];
  for (const name of covers) {
    const [, owner, member] = /^(\w+)(?:\.(\w+)|\[)/.exec(name) ?? [];
    const key = member ??
      (name.endsWith("[Symbol.asyncDispose]") ? Symbol.asyncDispose : Symbol.asyncIterator);
    const type = owner === undefined ? undefined : classes.get(owner);
    if (type === undefined) continue;
    for (const target of [type, type.prototype]) {
      const property = Object.getOwnPropertyDescriptor(target, key);
      if (property === undefined) continue;
      const look = (result: unknown): unknown => {
        if (result instanceof Promise) void outlasts(result).then((long) => long && waited.add(name));
        else waited.add(name); // An iterator, or a stream: what waits is its reader.
        return result;
      };
      const { value, get } = property;
      restore.push(() => Object.defineProperty(target, key, property));
      Object.defineProperty(
        target,
        key,
        get === undefined
          ? {
            ...property,
            value(this: unknown, ...args: unknown[]): unknown {
              return look(value.apply(this, args));
            },
          }
          : {
            ...property,
            get(this: unknown): unknown {
              return look(get.call(this));
            },
          },
      );
    }
  }
  try {
    await world(async (w) => {
      const { act, check } = scene();
      await act(new AbortController().signal, w);
      await check();
    });
  } finally {
    for (const undo of restore) undo();
  }
  return waited;
}

/** Whether a promise is still pending after some turns: longer than it takes to get through async functions. */
async function outlasts(promise: Promise<unknown>): Promise<boolean> {
  let pending = true;
  const ended = (): void => void (pending = false);
  promise.then(ended, ended);
  for (let turn = 0; turn < 6; turn++) await undefined;
  return pending;
}

describe("the list of what waits", () => {
  const covered = new Set(operations.flatMap(({ covers }) => covers));

  test("has every public function and method that promises to settle or takes a signal", async () => {
    const missing = [...await publicWaits()].filter((name) => !covered.has(name) && !still.has(name)).sort();
    assert.deepEqual(
      missing,
      [],
      `Not in the list of what waits: ${missing.join(", ")}. Add a scene that covers them to a file of ` +
        `tests/races/_waiting/ (a new one is found by itself), or name the reason why there is none in its "still"`,
    );
  });

  test("has each name for a reason: it is public, waits, and is not excused besides", async () => {
    const [waits, names, found] = [await publicWaits(), await publicNames(), await exported()];
    // What has just been added may not be on the list of the public surface yet.
    const doors = await Promise.all(
      ["flow", "resource", "task", "decorate"].map((floor) =>
        readFile(new URL(`../../src/${floor}/mod.ts`, import.meta.url), "utf8")
      ),
    );
    const isNew = (name: string): boolean =>
      !names.has(ownerOf(name)) &&
      (found.has(ownerOf(name)) || doors.some((door) => new RegExp(`\\b${ownerOf(name)}\\b`).test(door)));
    for (const name of covered) {
      assert.ok(names.has(ownerOf(name)) || isNew(name), `${name} is not public`);
      assert.ok(!still.has(name), `${name} is in a scene, and excused from it`);
    }
    for (const [name, reason] of still) {
      assert.ok(waits.has(name) || isNew(name), `${name} is excused, but nobody asks for it`);
      assert.ok(reason.length > 20, `${name} is excused without a reason`);
    }
  });

  for (const operation of operations) {
    test(`says truly what waits in the scene: ${operation.name}`, async () => {
      const classes = await exportedClasses();
      const waited = await waitedIn(operation, classes);
      for (const name of operation.covers) {
        if (!classes.has(ownerOf(name)) || !/\W/.test(name)) continue;
        assert.ok(waited.has(name), `nobody waited in ${name}`);
      }
    });
  }

  test("is compared with all methods that the classes really have", async () => {
    const declared = new Set((await publicDeclarations()).map(({ owner, member }) => `${owner} ${member}`));
    const names = await publicNames();
    for (const [name, type] of await exportedClasses()) {
      if (type.prototype instanceof Error || !names.has(name)) continue;
      for (const key of Reflect.ownKeys(type.prototype)) {
        const member = key === Symbol.asyncDispose // Polyfilled, it has a description of its own.
          ? "[Symbol.asyncDispose]"
          : typeof key === "symbol"
          ? `[${key.description}]`
          : key;
        if (member === "constructor") continue;
        assert.ok(declared.has(`${name} ${member}`), `the declaration of ${name}.${member} was not found`);
      }
    }
  });

  test("reads declarations as they are laid out", () => {
    const source = `export class A extends B<C> {
  readonly name: string | undefined;
  static async run<T>(
    body: (a: A) => T,
    options: { name?: string } = {},
  ): Promise<T> {
    await this.inner();
  }

  get settled(): Promise<void> {
  }

  #hidden(): Promise<void> {}
  [Symbol.asyncDispose](): Promise<void> {
  }
}
export async function wait(options?: WaitOptions): Promise<void> {}
function own(): Promise<void> {}
`;
    const found = declarationsIn(source).map((
      { owner, member, text },
    ) => [owner, member, /Promise/.test(text)]);
    assert.deepEqual(found, [
      ["A", "name", false],
      ["A", "run", true],
      ["A", "settled", true],
      ["A", "[Symbol.asyncDispose]", true],
      ["wait", undefined, true],
    ]);
  });
});
