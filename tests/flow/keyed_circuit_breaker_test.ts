import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { CircuitOpenError } from "../../src/flow/circuit_open_error.ts";
import { KeyedCircuitBreaker } from "../../src/flow/keyed_circuit_breaker.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { world } from "../../src/testing/mod.ts";

const down = () => Promise.reject(new Error("down"));
const options = { failures: 1, openMs: 1_000, openJitter: 0 };

describe("KeyedCircuitBreaker", () => {
  test("one key's failures are not held against the others", async () => {
    const hosts = new KeyedCircuitBreaker({ ...options, name: "host" });
    await hosts.run(down, { key: "a" }).catch(() => {});
    await assert.rejects(hosts.run(() => 1, { key: "a" }), {
      name: "CircuitOpenError",
      message: /^Cannot call "host\/a": circuit open/,
    });
    assert.equal(await hosts.run(() => 1, { key: "b" }), 1);
    assert.deepEqual(hosts.statistics(), { keys: 2, open: ["a"] });
    assert.equal(hosts.of("a").state, "open");
  });

  test("refuses bad options where it is made, and a call without a key", async () => {
    assert.throws(() => new KeyedCircuitBreaker({ failures: 0 }), RangeError);
    assert.throws(() => new KeyedCircuitBreaker({ idleMs: -1 }), RangeError);
    assert.throws(() => new KeyedCircuitBreaker({ maxKeys: 0 }), RangeError);
    assert.throws(() => new KeyedCircuitBreaker(null as never), TypeError);
    const hosts = new KeyedCircuitBreaker();
    await assert.rejects(hosts.run(() => 1), {
      message: "Cannot call through keyed circuit breaker as key must be a string: received undefined",
    });
    await assert.rejects(hosts.run(5 as never, { key: "a" }), TypeError);
    assert.equal(hosts.statistics().keys, 0);
  });

  test("passes signal and limit on", async () => {
    await world(async () => {
      const hosts = new KeyedCircuitBreaker();
      const signal = AbortSignal.abort("gone");
      assert.equal(await hosts.run(() => 1, { key: "a", signal }).catch((error) => error), "gone");
      const hanging = hosts.run(() => new Promise(() => {}), { key: "a", timeoutMs: 10 });
      await assert.rejects(hanging, { name: "TimeoutError" });
    });
  });

  test("takes options that are inherited, as all that run calls do", async () => {
    const hosts = new KeyedCircuitBreaker();
    const options = Object.create({ key: "a", signal: AbortSignal.abort("gone") });
    assert.equal(await hosts.run(() => 1, options).catch((error) => error), "gone");
    assert.equal(hosts.statistics().keys, 1);
  });

  test("forgets idle breakers, but none that is open or has a call under way; without timers", async () => {
    await world(async (w) => {
      const hosts = new KeyedCircuitBreaker({
        ...options,
        openMs: 900_000,
        maxOpenMs: 900_000,
        idleMs: 60_000,
      });
      const gate = deferred();
      const running = hosts.run(() => gate.promise, { key: "running" });
      await hosts.run(down, { key: "open" }).catch(() => {});
      for (let i = 0; i < 100; i++) await hosts.run(() => 1, { key: `idle ${i}` });
      assert.equal(hosts.statistics().keys, 102);
      await w.advance(60_000);
      assert.equal(w.timers.length, 0);
      for (let i = 0; i < 60; i++) await hosts.run(() => 1, { key: `new ${i}` });
      assert.equal(hosts.statistics().keys, 62);
      await assert.rejects(hosts.run(() => 1, { key: "open" }), CircuitOpenError);
      gate.resolve(1);
      await running;
    });
  });

  test("keeps at most maxKeys, those used last", async () => {
    const hosts = new KeyedCircuitBreaker({ ...options, maxKeys: 3 });
    for (const key of ["a", "b", "c"]) await hosts.run(down, { key }).catch(() => {});
    hosts.of("a");
    await hosts.run(() => 1, { key: "d" });
    assert.deepEqual(hosts.statistics(), { keys: 3, open: ["c", "a"] });
  });

  test("at maxKeys the one not used for longest goes, also when old ones that are open were looked at before", async () => {
    await world(async () => {
      const hosts = new KeyedCircuitBreaker({ failures: 1, openMs: 100_000, idleMs: 10, maxKeys: 3 });
      const open = (key: string) => hosts.run(down, { key }).catch(() => {});
      await open("a");
      await sleep(5);
      await open("b");
      await sleep(7);
      await open("c");
      await open("d");
      assert.deepEqual(hosts.statistics().open, ["b", "c", "d"]);
      await open("e");
      assert.deepEqual(hosts.statistics().open, ["c", "d", "e"]);
    });
  });

  test("keeps those used last, in their order, whatever the order of use", async () => {
    await world(async (w) => {
      const hosts = new KeyedCircuitBreaker({ failures: 1, openMs: 100_000, idleMs: 1_000, maxKeys: 20 });
      let used: string[] = [];
      for (let i = 0; i < 2_000; i++) {
        // Some again and again, others once.
        const key = i % 3 === 0 ? `${i * 7919 % 11}` : `${i * 104_729 % 57}`;
        await hosts.run(down, { key }).catch(() => {});
        used = [...used.filter((other) => other !== key), key].slice(-20);
        assert.deepEqual(hosts.statistics(), { keys: used.length, open: used });
        if (i % 100 === 0) await w.advance(600);
      }
    });
  });
});
