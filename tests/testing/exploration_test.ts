import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { chance } from "../../src/testing/_chance.ts";
import { Exploration } from "../../src/testing/_exploration.ts";
import { VirtualClock } from "../../src/testing/virtual_clock.ts";

describe("Exploration", () => {
  test("puts things off by at most so many turns, half of them not at all", async () => {
    const exploration = new Exploration(1, 3, ["waits"]);
    const turns: number[] = [];
    for (let i = 0; i < 200; i++) {
      let ran = false;
      exploration.putOff("wait", undefined, () => ran = true);
      let turn = 0;
      for (; !ran; turn++) await undefined;
      turns.push(turn);
    }
    const none = turns.filter((turn) => turn === 0).length;
    assert.ok(none > 70 && none < 130, `${none}`);
    assert.ok(new Set(turns).size === 4, `${new Set(turns).size}`);
  });

  test("runs what has one line in order, and forgets the line", async () => {
    const exploration = new Exploration(2, 9, ["waits"]);
    const [line, ran]: [object, number[]] = [{}, []];
    for (let i = 0; i < 50; i++) exploration.putOff("wait", line, () => ran.push(i));
    for (let i = 0; i < 1_000; i++) await undefined;
    assert.deepEqual(ran, Array.from({ length: 50 }, (_, i) => i));
    let atOnce = 0;
    for (let i = 0; i < 50; i++) {
      let now = false;
      exploration.putOff("wait", line, () => now = true);
      if (now) atOnce++;
      for (let i = 0; i < 20; i++) await undefined;
    }
    assert.ok(atOnce > 10, `${atOnce}`);
  });

  test("what is not to vary happens at once and in order", () => {
    const exploration = new Exploration(1, 9, []);
    let ran = 0;
    for (let i = 0; i < 20; i++) {
      exploration.putOff("wait", undefined, () => ran++);
      exploration.putOff("start", undefined, () => ran++);
      assert.equal(exploration.tie(), 0);
      assert.equal(exploration.pauses(), false);
    }
    assert.equal(ran, 40);
  });

  test("draws none of the numbers of the clock", () => {
    const [plain, exploring] = [
      new VirtualClock(5),
      new VirtualClock(5, undefined, new Exploration(5, 8, ["timers"])),
    ];
    for (let i = 0; i < 5; i++) {
      for (const time of [plain, exploring]) time.schedule(1, () => {}, { ref: true });
      assert.equal(plain.random(), exploring.random());
    }
    assert.notEqual(chance("test", 5)(), new Exploration(5, 8, ["timers"]).tie());
    assert.equal(plain.putOff, undefined);
  });
});

describe("VirtualClock with an exploration", () => {
  test("fires what is due together in any order, each once, and never before its time", () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 100; seed++) {
      const time = new VirtualClock(1, undefined, new Exploration(seed, 8, ["timers"]));
      let log = "";
      for (const [at, name] of [[10, "a"], [20, "c"], [10, "b"], [20, "d"]] as const) {
        time.schedule(at, () => {
          assert.equal(time.now(), at);
          log += name;
        }, { ref: true });
      }
      while (time.nextMs < Infinity) {
        time.moveTo(time.nextMs);
        assert.ok(time.runDue() > 0);
      }
      seen.add(log);
    }
    assert.deepEqual([...seen].toSorted(), ["abcd", "abdc", "bacd", "badc"]);
  });
});
