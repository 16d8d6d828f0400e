/**
 * One suite for everything that hands out permits: whatever happens, in whatever order, none is lost, none is made, and
 * everybody is served in turn.
 *
 * A failure names its seed and the path to the smallest case: put both into `REPLAY` to see it again.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { world } from "../../src/testing/mod.ts";
import { type PermitKind, permitKinds } from "./_permit_like.ts";
import { Run, type Step } from "./_permit_model.ts";
import { isSource } from "../_suite.ts";

const REPLAY: { seed?: number; path?: string } = {};

/** So many steps at least for each structure. */
const STEPS = isSource ? 100_000 : 20_000;
const LONGEST = 800;

/** What may happen to a structure: mostly calls that come and go. */
function stepOf(kind: PermitKind): fc.Arbitrary<Step> {
  const weight = (n: number): number => 1 + n % kind.maxWeight;
  const span = kind.maxCapacity - kind.minCapacity + 1;
  // One number for each step, as drawing many small ones takes longer than all the rest.
  return fc.nat(0x3fffffff).map((n): Step => {
    const [what, which] = [n % 24, Math.floor(n / 24) % 1_000];
    const more = Math.floor(n / 24_000);
    if (what < 8) {
      const limitMs = [0, 10, 20, 30, Infinity, Infinity, Infinity][more % 7]!;
      return { do: "acquire", weight: weight(which), limitMs, shared: which % 4 === 0 };
    }
    if (what < 10) return { do: "try", weight: weight(which) };
    if (what < 15) return { do: "release", which };
    if (what < 16) return { do: "releaseTwice", which };
    if (what < 17) return { do: "abort", which };
    if (what < 18) return { do: "abortReleasing", which };
    if (what < 19) return { do: "abortHolder", which };
    if (what < 20) return { do: "resize", to: kind.minCapacity + which % span };
    if (what < 21) return { do: "advance", ms: which % 26 };
    return { do: "turn" };
  });
}

describe("permits at random", () => {
  for (const [i, kind] of permitKinds.entries()) {
    test(`${kind.name}: every permit and every place in the line is kept`, async () => {
      let taken = 0;
      const { minCapacity, maxCapacity } = kind;
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: Math.max(1, minCapacity), max: maxCapacity }),
          fc.boolean(),
          fc.array(stepOf(kind), { minLength: 1, maxLength: LONGEST, size: "max" }),
          (capacity, close, steps) =>
            world(async (w) => {
              const run = new Run(kind, capacity, w);
              await run.settle();
              for (const step of steps) {
                const turns = run.take(step);
                if (turns !== undefined) await turns;
              }
              taken += steps.length;
              await run.end(close);
            }, { auto: false }),
        ),
        // Half as long as the longest on the average.
        { seed: 23 + i, numRuns: Math.ceil(2.6 * STEPS / LONGEST), ...REPLAY },
      );
      if (REPLAY.path === undefined) assert.ok(taken >= STEPS, `${taken} steps only`);
    });
  }
});
