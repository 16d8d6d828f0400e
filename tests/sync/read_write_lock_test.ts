import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { observe } from "../../src/kernel/observer.ts";
import type { Lease } from "../../src/kernel/types.ts";
import { ReadWriteLock, type WriteLease } from "../../src/sync/read_write_lock.ts";
import { MisuseError, TimeoutError } from "../../src/sync/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

type Prefer = "fifo" | "read" | "write";

const PREFERENCES: readonly Prefer[] = ["fifo", "read", "write"];

/** Asks in the order of `line` (`r` or `w` each) while a writer holds; tells in which order they came in. */
async function admitted(prefer: Prefer, line: string): Promise<string[]> {
  return await world(async (w) => {
    const lock = new ReadWriteLock({ prefer });
    const held = await lock.acquireWrite();
    const order: string[] = [];
    const all = [...line].map(async (kind, i) => {
      using _lease = await (kind === "r" ? lock.acquireRead() : lock.acquireWrite());
      order.push(`${kind}${i}@${w.now}`);
      await sleep(10);
    });
    held.release();
    await Promise.all(all);
    return order;
  });
}

describe("ReadWriteLock", () => {
  test("many read at once; a writer is alone", async () => {
    for (const prefer of PREFERENCES) {
      await world(async () => {
        const lock = new ReadWriteLock({ prefer });
        const readers = [await lock.acquireRead(), lock.tryAcquireRead()!, await lock.acquireRead()];
        assert.equal(lock.statistics().readers, 3);
        assert.equal(lock.tryAcquireWrite(), undefined);
        for (const reader of readers) reader.release();
        const writer = lock.tryAcquireWrite()!;
        assert.equal(lock.statistics().writing, true);
        assert.equal(lock.tryAcquireRead(), undefined);
        assert.equal(lock.tryAcquireWrite(), undefined);
        writer.release();
        lock.tryAcquireRead()!.release();
      });
    }
  });

  test('"fifo" lets everybody in by arrival, neighbouring readers together', async () => {
    assert.deepEqual(await admitted("fifo", "rrwrwwrr"), [
      "r0@0",
      "r1@0",
      "w2@10",
      "r3@20",
      "w4@30",
      "w5@40",
      "r6@50",
      "r7@50",
    ]);
  });

  test('"write" lets writers go before all readers that wait', async () => {
    assert.deepEqual(await admitted("write", "rwrw"), ["w1@0", "w3@10", "r0@20", "r2@20"]);
  });

  test('"read" lets all readers in together whenever nobody writes', async () => {
    assert.deepEqual(await admitted("read", "wrwr"), ["r1@0", "r3@0", "w0@10", "w2@20"]);
  });

  test("a reader that comes while another reads waits behind a waiting writer, unless readers are preferred", async () => {
    for (const prefer of PREFERENCES) {
      await world(async (w) => {
        const lock = new ReadWriteLock({ prefer });
        const reading = await lock.acquireRead();
        const writer = lock.acquireWrite();
        const tried = lock.tryAcquireRead();
        assert.equal(tried !== undefined, prefer === "read");
        tried?.release();
        const reader = lock.acquireRead();
        await w.idle();
        assert.equal(lock.statistics().readers, prefer === "read" ? 2 : 1);
        if (prefer === "read") (await reader).release();
        reading.release();
        (await writer).release();
        if (prefer !== "read") (await reader).release();
      });
    }
  });

  test("is handed over directly: nobody barges in between a release and the next holder", async () => {
    for (const prefer of PREFERENCES) {
      await world(async () => {
        const lock = new ReadWriteLock({ prefer });
        const held = await lock.acquireWrite();
        const next = lock.acquireWrite();
        held.release();
        assert.equal(lock.tryAcquireRead(), undefined);
        assert.equal(lock.tryAcquireWrite(), undefined);
        (await next).release();
      });
    }
  });

  test("a writer that gives up lets the readers behind it in in the same turn (LK-02)", async () => {
    for (const limit of [true, false]) {
      await world(async (w) => {
        const lock = new ReadWriteLock();
        using _reading = await lock.acquireRead();
        const controller = new AbortController();
        const writer = lock.acquireWrite(limit ? { timeoutMs: 10 } : { signal: controller.signal });
        const readers = [lock.acquireRead(), lock.acquireRead()];
        const last = lock.acquireWrite();
        writer.catch(() => {});
        if (limit) await w.advance(10);
        else {
          controller.abort(null);
          assert.equal(lock.statistics().readers, 3);
        }
        await assert.rejects(writer, (error) => limit ? error instanceof TimeoutError : error === null);
        const { readers: reading, waitingReaders, waitingWriters } = lock.statistics();
        assert.deepEqual([reading, waitingReaders, waitingWriters], [3, 0, 1]);
        for (const reader of readers) (await reader).release();
        _reading.release();
        (await last).release();
      });
    }
  });

  test("readers behind a writer that is being aborted are let in, whoever asks meanwhile (LK-02)", async () => {
    for (const ask of ["tryAcquireRead", "tryAcquireWrite", "acquireRead", "acquireWrite"] as const) {
      await world(async (w) => {
        const lock = new ReadWriteLock();
        using reading = await lock.acquireRead();
        const controller = new AbortController();
        let asked: Lease | Promise<Lease> | undefined;
        controller.signal.addEventListener("abort", () => asked = lock[ask](), { once: true });
        const writer = lock.acquireWrite({ signal: controller.signal });
        const reader = lock.acquireRead();
        controller.abort("stop");
        await assert.rejects(writer, (error) => error === "stop");
        await w.idle();
        assert.equal(lock.statistics().waitingReaders, 0);
        (await reader).release();
        reading.release();
        (await asked)?.release();
        const { readers, writing } = lock.statistics();
        assert.deepEqual([readers, writing], [0, false]);
      });
    }
  });

  test("abort and grant in one turn, both orders: one outcome, and the lock is not lost (LK-04)", async () => {
    for (const kind of ["acquireRead", "acquireWrite"] as const) {
      for (const abortFirst of [true, false]) {
        await world(async () => {
          const lock = new ReadWriteLock();
          const held = await lock.acquireWrite();
          const controller = new AbortController();
          const wait = lock[kind]({ signal: controller.signal });
          if (abortFirst) controller.abort("stop");
          held.release();
          if (!abortFirst) controller.abort("stop");
          if (abortFirst) await assert.rejects(wait, (error) => error === "stop");
          else (await wait).release();
          lock.tryAcquireWrite()!.release();
        });
      }
    }
  });

  test("a signal aborted beforehand is refused first, and only counted", async () => {
    const lock = new ReadWriteLock();
    const signal = AbortSignal.abort(null);
    await assert.rejects(lock.acquireRead({ signal }), (error) => error === null);
    await assert.rejects(lock.acquireWrite({ signal }), (error) => error === null);
    await assert.rejects(lock.runWrite(() => assert.fail("it ran"), { signal }), (error) => error === null);
    const { granted, aborted, readers, writing } = lock.statistics();
    assert.deepEqual([granted, aborted, readers, writing], [0, 3, 0, false]);
  });

  test("releasing twice is misuse, disposing twice does nothing, neither lets a writer join readers (LK-08)", async () => {
    await world(async () => {
      const lock = new ReadWriteLock({ name: "index" });
      const readers = [await lock.acquireRead(), await lock.acquireRead()] as const;
      const writer = lock.acquireWrite();
      readers[0].release();
      readers[0][Symbol.dispose]();
      assert.throws(() => readers[0].release(), {
        name: "MisuseError",
        message: 'Cannot release read-write lock "index": this lease was given back before',
      });
      assert.equal(lock.statistics().writing, false);
      readers[1].release();
      const lease = await writer;
      lease.release();
      assert.throws(() => lease.release(), MisuseError);
      lease[Symbol.dispose]();
    });
  });

  test("downgrade lets waiting readers in with it, but no writer in between", async () => {
    for (const prefer of PREFERENCES) {
      await world(async (w) => {
        const lock = new ReadWriteLock({ prefer });
        const writing = await lock.acquireWrite();
        const reader = lock.acquireRead();
        const writer = lock.acquireWrite();
        const reading = writing.downgrade();
        assert.deepEqual([writing.held, reading.held], [false, true]);
        await w.idle();
        const { readers, writing: isWriting } = lock.statistics();
        assert.equal(isWriting, false);
        assert.equal(readers, prefer === "write" ? 1 : 2);
        writing[Symbol.dispose](); // nothing: it is not held any more
        assert.equal(lock.statistics().readers, readers);
        reading.release();
        if (prefer !== "write") (await reader).release();
        (await writer).release();
        (await reader)[Symbol.dispose]();
        lock.tryAcquireWrite()!.release();
        assert.equal(lock.statistics().granted, 5);
      });
    }
  });

  test("a reader that wants to write waits for itself: a limit says who reads, and then others go on", async () => {
    await world(async (w) => {
      const lock = new ReadWriteLock({ name: "map" });
      const reading = await lock.acquireRead();
      const writing = lock.acquireWrite({ timeoutMs: 20 });
      const behind = lock.acquireRead();
      await assert.rejects(writing, {
        name: "TimeoutError",
        message: 'Cannot write under read-write lock "map" within 20 ms: ' +
          "1 reading, 1 waiting to read, 1 to write",
      });
      assert.equal(w.now, 20);
      (await behind).release();
      reading.release();
      (await lock.acquireWrite({ timeoutMs: 0 })).release();
    });
  });

  test("downgrading what is not held for writing is misuse", async () => {
    const lock = new ReadWriteLock({ name: "index" });
    const writing = await lock.acquireWrite();
    const reading = writing.downgrade();
    assert.throws(() => writing.downgrade(), {
      name: "MisuseError",
      message: 'Cannot downgrade read-write lock "index": this lease was given back before',
    });
    // By type there is no such method; if it could be called, readers and a writer would meet.
    assert.equal((reading as WriteLease).downgrade, undefined);
    assert.equal((lock.tryAcquireRead() as WriteLease).downgrade, undefined);
  });

  test("runRead and runWrite release however fn ends, and pass on what it returns or throws", async () => {
    await world(async () => {
      const lock = new ReadWriteLock();
      const failure = new Error("inside");
      for (const run of ["runRead", "runWrite"] as const) {
        assert.equal(await lock[run](() => 1), 1);
        assert.equal(await lock[run](() => Promise.resolve(2)), 2);
        const throwing = () => {
          throw failure;
        };
        await assert.rejects(lock[run](throwing), (error) => error === failure);
        await assert.rejects(lock[run](() => Promise.reject(null)), (error) => error === null);
        await assert.rejects(lock[run](5 as unknown as () => void), {
          name: "TypeError",
          message: "Cannot run in read-write lock as fn must be a function: received 5",
        });
        lock.tryAcquireWrite()!.release();
        using _held = await lock.acquireWrite();
        await assert.rejects(lock[run](() => assert.fail("it ran"), { timeoutMs: 5 }), TimeoutError);
      }
    });
  });

  test("a limit says who reads, writes and waits; a grant clears its timer (LK-12)", async () => {
    await world(async (w) => {
      const lock = new ReadWriteLock({ name: "index" });
      const reading = await lock.acquireRead({ timeoutMs: 0 });
      await assert.rejects(lock.acquireWrite({ timeoutMs: 20 }), {
        message:
          'Cannot write under read-write lock "index" within 20 ms: 1 reading, 0 waiting to read, 1 to write',
        operation: 'write under read-write lock "index"',
        limitMs: 20,
      });
      const writer = lock.acquireWrite({ timeoutMs: 1_000 });
      await assert.rejects(lock.acquireRead({ timeoutMs: 0 }), TimeoutError);
      reading.release();
      const writing = await writer;
      await assert.rejects(lock.acquireRead({ timeoutMs: 20 }), {
        message:
          'Cannot read under read-write lock "index" within 20 ms: 1 writing, 1 waiting to read, 0 to write',
      });
      writing.release();
      assert.equal(w.timers.length, 0);
      assert.deepEqual(lock.statistics(), {
        readers: 0,
        writing: false,
        waitingReaders: 0,
        waitingWriters: 0,
        granted: 2,
        aborted: 0,
        timedOut: 3,
      });
      assert.ok(Object.isFrozen(lock.statistics()));
    });
  });

  test("what runs inside sees its own caller's async context, at every place in the line (LK-16)", async () => {
    const storage = new AsyncLocalStorage<number>();
    const lock = new ReadWriteLock();
    const seen: (number | undefined)[] = [];
    await Promise.all(
      Array.from(
        { length: 20 },
        (_, i) =>
          storage.run(i, () =>
            lock[i % 3 === 0 ? "runWrite" : "runRead"](async () => {
              seen.push(storage.getStore());
              await Promise.resolve();
            })),
      ),
    );
    assert.deepEqual(seen, Array.from({ length: 20 }, (_, i) => i));
  });

  test("an observer that gives up or asks in the middle can't make a writer meet anybody", async () => {
    await world(async () => {
      const lock = new ReadWriteLock();
      const controller = new AbortController();
      const held = await lock.acquireWrite();
      const waits = [
        lock.acquireRead({ signal: controller.signal }),
        lock.acquireWrite({ signal: controller.signal }),
        lock.acquireRead(),
      ];
      {
        using _observer = observe({
          record() {
            lock.tryAcquireWrite()?.release();
            controller.abort("from the observer");
          },
        });
        held.release();
      }
      const outcomes = await Promise.allSettled(waits);
      assert.deepEqual(outcomes.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
      for (const outcome of outcomes) if (outcome.status === "fulfilled") outcome.value.release();
      lock.tryAcquireWrite()!.release();
    });
  });

  test("aborted at any point, every lease is back and nobody is left waiting", async () => {
    for (const prefer of PREFERENCES) {
      let lock: ReadWriteLock;
      await sweep(async (signal) => {
        lock = new ReadWriteLock({ prefer });
        const read = async (): Promise<void> => {
          using _lease = await lock.acquireRead({ signal });
          await sleep(10, { signal });
        };
        const write = async (): Promise<void> => {
          using lease = await lock.acquireWrite({ signal, timeoutMs: 1_000 });
          await sleep(10, { signal });
          using _reading = lease.downgrade();
          await sleep(10);
        };
        const all = [read(), write(), read(), read(), write()];
        await Promise.allSettled(all);
        await Promise.all(all);
      }, () => {
        const { waitingReaders, waitingWriters } = lock.statistics();
        assert.deepEqual([waitingReaders, waitingWriters], [0, 0]);
        assert.ok(lock.tryAcquireWrite());
      });
    }
  });

  test("tells the observer who reads, who writes, and who gives back", async () => {
    const told: unknown[] = [];
    using _observer = observe({
      record: ({ kind, structure, name, data }) => {
        if (structure !== "read-write lock" || name !== "index") return;
        const { mode, reading, writing } = data as Record<string, unknown>;
        if (mode !== undefined) told.push([kind, mode, reading, writing]);
        else told.push(kind);
      },
    });
    const lock = new ReadWriteLock({ name: "index" });
    const reading = await lock.acquireRead();
    const writing = lock.acquireWrite();
    reading.release();
    (await writing).downgrade().release();
    assert.deepEqual(told, [
      ["acquire", "read", 1, false],
      "wait",
      ["release", "read", 0, false],
      "grant",
      ["acquire", "write", 0, true],
      ["release", "write", 1, false],
      ["acquire", "read", 1, false],
      ["release", "read", 0, false],
    ]);
  });

  test("wrong arguments throw from the constructor and reject from the waits", async () => {
    assert.throws(() => new ReadWriteLock({ prefer: "lifo" as Prefer, name: "index" }), {
      name: "RangeError",
      message:
        'Cannot create read-write lock "index" as prefer must be one of "fifo", "read", "write": received "lifo"',
    });
    for (const options of [null, 5, { name: 5 }, { prefer: 5 }, { prefer: null }]) {
      assert.throws(() => new ReadWriteLock(options as object), TypeError);
    }
    const lock = new ReadWriteLock();
    for (const acquire of ["acquireRead", "acquireWrite"] as const) {
      for (const options of [null, 5, { signal: {} }, { timeoutMs: "1" }]) {
        await assert.rejects(lock[acquire](options as object), TypeError);
      }
      for (const timeoutMs of [-1, NaN]) await assert.rejects(lock[acquire]({ timeoutMs }), RangeError);
    }
    lock.tryAcquireWrite()!.release();
  });
});
