import assert from "node:assert/strict";
import { Deque } from "../../src/kernel/deque.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const TIMES = 100_000;

/** By hand: an array and an index, never given back before the end. */
function throughput(held: number): Case {
  return {
    name: `deque: in and out with ${held.toLocaleString("en")} held`,
    ops: TIMES,
    check() {
      const deque = new Deque<number>();
      for (let i = 0; i < 100; i++) deque.push(i);
      for (let i = 0; i < 100; i++) assert.equal(deque.shift(), i);
      return deque;
    },
    minimum() {
      const array: number[] = [];
      let head = 0;
      for (let i = 0; i < held; i++) array.push(i);
      for (let i = 0; i < TIMES; i++) {
        array.push(i);
        sink(array[head++]!);
      }
    },
    ours() {
      const deque = new Deque<number>();
      for (let i = 0; i < held; i++) deque.push(i);
      for (let i = 0; i < TIMES; i++) {
        deque.push(i);
        sink(deque.shift()!);
      }
    },
  };
}

export const cases: readonly Case[] = [throughput(10), throughput(100_000)];
