/** Chance that a seed repeats. */
import { checkInteger } from "../kernel/checks.ts";

/** The generator known as Mulberry32 (Tommy Ettinger), from 0 up to 1: 32 bits of state are plenty for a test. */
export function chance(doing: string, seed: number): () => number {
  checkInteger(doing, "seed", seed, 0, 2 ** 32 - 1);
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
