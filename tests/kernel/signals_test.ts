import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { census } from "../../src/kernel/census.ts";
import {
  type AbortTarget,
  Canceller,
  hangingOn,
  listen,
  stillRunning,
  subscribe,
} from "../../src/kernel/signals.ts";
import { abortedByListening, deaf } from "../_foreign_signal.ts";

/** A signal that counts how often it is listened to. */
function counted(): { controller: AbortController; counts: { added: number; removed: number } } {
  const controller = new AbortController();
  const { signal } = controller;
  const counts = { added: 0, removed: 0 };
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: unknown[]) => {
    counts.added++;
    (add as (...args: unknown[]) => void)(...args);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    counts.removed++;
    (remove as (...args: unknown[]) => void)(...args);
  };
  return { controller, counts };
}

function target(run: (reason: unknown) => void): AbortTarget {
  return { aborted: run };
}

describe("subscribe", () => {
  test("tells every target once, in the order of subscription, with the reason untouched", () => {
    for (const reason of ["text", null, 0, new Error("stop")]) {
      const controller = new AbortController();
      const told: [number, unknown][] = [];
      for (let i = 0; i < 3; i++) subscribe(controller.signal, target((reason) => told.push([i, reason])));
      controller.abort(reason);
      controller.abort("again");
      assert.deepEqual(told, [[0, reason], [1, reason], [2, reason]]);
    }
  });

  test("listens once to a signal for 100,000 targets, and lets go with the last of them", () => {
    const before = { ...census };
    const { controller, counts } = counted();
    let told = 0;
    const subscriptions = Array.from(
      { length: 100_000 },
      () => subscribe(controller.signal, target(() => told++)),
    );
    assert.deepEqual(counts, { added: 1, removed: 0 });
    assert.equal(census.listeners, before.listeners + 1);
    assert.equal(census.subscriptions, before.subscriptions + 100_000);
    for (let i = subscriptions.length - 1; i > 0; i--) subscriptions[i]!.cancel();
    assert.deepEqual(counts, { added: 1, removed: 0 });
    subscriptions[0]!.cancel();
    assert.deepEqual(counts, { added: 1, removed: 1 });
    assert.deepEqual(census, before);
    controller.abort();
    assert.equal(told, 0);
  });

  test("listens anew after the list was empty", () => {
    const { controller, counts } = counted();
    subscribe(controller.signal, target(() => assert.fail())).cancel();
    const told: unknown[] = [];
    subscribe(controller.signal, target((reason) => told.push(reason)));
    assert.deepEqual(counts, { added: 2, removed: 1 });
    controller.abort("end");
    assert.deepEqual(told, ["end"]);
    assert.deepEqual(counts, { added: 2, removed: 2 });
  });

  test("does not tell a target that an earlier one cancelled meanwhile", () => {
    const before = { ...census };
    const controller = new AbortController();
    const told: string[] = [];
    subscribe(
      controller.signal,
      target(() => {
        told.push("first");
        second.cancel();
      }),
    );
    const second = subscribe(controller.signal, target(() => told.push("second")));
    const third = subscribe(controller.signal, target(() => told.push("third")));
    controller.abort();
    assert.deepEqual(told, ["first", "third"]);
    for (const subscription of [second, third]) subscription.cancel();
    assert.deepEqual(census, before);
  });

  test("cancelling twice takes away nobody else's place", () => {
    const controller = new AbortController();
    let told = 0;
    const first = subscribe(controller.signal, target(() => assert.fail()));
    subscribe(controller.signal, target(() => told++));
    first.cancel();
    first.cancel();
    controller.abort();
    assert.equal(told, 1);
  });

  test("needs no listener on a signal of the library's own, and is told after the signal's own listeners", () => {
    const before = { ...census };
    const canceller = new Canceller();
    const told: unknown[] = [];
    const gone = subscribe(canceller.signal, target(() => assert.fail()));
    subscribe(canceller.signal, target((reason) => told.push(reason)));
    canceller.signal.addEventListener("abort", () => told.push("listener"), { once: true });
    assert.equal(census.listeners, before.listeners);
    assert.equal(census.subscriptions, before.subscriptions + 2);
    gone.cancel();
    canceller.abort("stop");
    canceller.abort("again");
    assert.deepEqual(told, ["listener", "stop"]);
    assert.equal(canceller.signal.reason, "stop");
    assert.deepEqual(census, before);
  });

  test("may be called anew by a target that is told, for another signal", () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const told: string[] = [];
    subscribe(
      first.signal,
      target(() => {
        subscribe(second.signal, target(() => told.push("second")));
        second.abort();
        told.push("first");
      }),
    );
    first.abort();
    assert.deepEqual(told, ["second", "first"]);
  });

  test("tells targets that are nested deeper than the stack, before the abort is over", () => {
    const before = { ...census };
    const cancellers = Array.from({ length: 20_000 }, () => new Canceller());
    const told: number[] = [];
    for (const [i, { signal }] of cancellers.entries()) {
      subscribe(
        signal,
        target((reason) => {
          told.push(i);
          cancellers[i + 1]?.abort(reason);
        }),
      );
    }
    cancellers[0]!.abort("stop");
    assert.deepEqual(told, [...cancellers.keys()]);
    assert.equal(cancellers.at(-1)!.signal.reason, "stop");
    assert.deepEqual(census, before);
  });

  test("throws what a foreign signal throws when listened to, and leaves nothing; letting go of one never throws", () => {
    const before = { ...census };
    const error = new Error("deaf");
    const foreign = (how: Partial<AbortSignal>): AbortSignal =>
      ({ aborted: false, addEventListener() {}, removeEventListener() {}, ...how }) as AbortSignal;
    const deaf = foreign({
      addEventListener() {
        throw error;
      },
    });
    for (let i = 0; i < 2; i++) {
      assert.throws(() => subscribe(deaf, target(() => {})), (thrown) => thrown === error);
    }
    assert.deepEqual(census, before);
    const clinging = foreign({
      removeEventListener() {
        throw error;
      },
    });
    subscribe(clinging, target(() => {})).cancel();
    assert.deepEqual(census, before);
  });

  test("listen tells whoever can't listen, or is told by that, at once and once, also within another abort", () => {
    const before = { ...census };
    const error = new Error("deaf");
    const tellsAndThrows = (): AbortSignal => {
      const signal = abortedByListening(true);
      const add = signal.addEventListener;
      return Object.assign(signal, {
        addEventListener(...args: Parameters<typeof add>) {
          add(...args);
          throw error;
        },
      });
    };
    const told: unknown[] = [];
    const listenToAll = (): void => {
      for (
        const signal of [deaf(error), abortedByListening(true), abortedByListening(false), tellsAndThrows()]
      ) {
        assert.equal(listen(signal, target((reason) => told.push(reason))), undefined);
        told.push("next");
      }
    };
    const all = [error, "next", "foreign", "next", "foreign", "next", "foreign", "next"];
    listenToAll();
    assert.deepEqual(told.splice(0), all);
    const canceller = new Canceller();
    subscribe(canceller.signal, target(listenToAll));
    canceller.abort("stop");
    assert.deepEqual(told, all);
    assert.deepEqual(census, before);
    const { controller } = counted();
    let times = 0;
    listen(controller.signal, target(() => times++))!.cancel();
    listen(controller.signal, target(() => times++));
    controller.abort();
    assert.equal(times, 1);
  });

  test("is not fooled by an abort event on a signal that is not aborted", () => {
    const { controller, counts } = counted();
    const told: unknown[] = [];
    subscribe(controller.signal, target((reason) => told.push(reason)));
    controller.signal.dispatchEvent(new Event("abort"));
    assert.deepEqual(told, []);
    assert.deepEqual(counts, { added: 1, removed: 0 });
    controller.abort("really");
    assert.deepEqual(told, ["really"]);
  });
});

describe("hangingOn", () => {
  test("gives the words of those who hang on a signal, and on what it is passed on to, in order", () => {
    const [outer, inner] = [new Canceller(), new Canceller()];
    const aborted = (): void => {};
    subscribe(outer.signal, { aborted, describe: () => "first" });
    subscribe(outer.signal, { aborted, describe: () => undefined });
    subscribe(outer.signal, { aborted, describe: () => "scope", passesOn: () => [inner.signal] });
    subscribe(outer.signal, { aborted });
    subscribe(outer.signal, { aborted, describe: () => "last" });
    subscribe(inner.signal, { aborted, describe: () => "within" });
    assert.deepEqual(hangingOn(outer.signal), ["first", "scope", "within", "last"]);
    outer.abort(undefined);
    assert.deepEqual(hangingOn(outer.signal), []);
    assert.deepEqual(hangingOn(new AbortController().signal), []);
    inner.abort(undefined);
  });

  test("gives each once, however many ways lead there, and a tree within another", () => {
    const aborted = (): void => {};
    const last = new Canceller();
    let asked = 0;
    subscribe(last.signal, {
      aborted,
      describe: () => {
        asked++;
        return "last";
      },
      heldUpBy: () => {
        asked++;
        return "get the last: it is away";
      },
    });
    let signal = last.signal;
    for (let i = 0; i < 40; i++) {
      const [outer, way] = [new Canceller(), signal];
      for (let j = 0; j < 2; j++) subscribe(outer.signal, { aborted, passesOn: () => [way] });
      signal = outer.signal;
    }
    assert.deepEqual(hangingOn(signal), ["last"]);
    assert.equal(stillRunning(signal), "it was still waiting to get the last: it is away");
    assert.equal(asked, 2);

    let [below, made] = [last.signal, 0];
    for (let i = 0; i < 40; i++) {
      const [a, b, outer, within] = [new Canceller(), new Canceller(), new Canceller(), below];
      // Two tasks of a group, which both have the next one in them.
      const next = {
        aborted,
        describe: () => ({ group: `g${i}`, tasks: [hangingOn(a.signal), hangingOn(b.signal)], made: made++ }),
      };
      for (const task of [a, b]) subscribe(task.signal, { aborted, passesOn: () => [within] });
      subscribe(outer.signal, next);
      below = outer.signal;
    }
    const found = hangingOn(below) as { tasks: unknown[][] }[];
    assert.equal(made, 40);
    const [{ tasks: [first, second] }] = found as [{ tasks: [unknown[], unknown[]] }];
    assert.equal((first[0] as { group: string }).group, "g38");
    assert.deepEqual(second, ['group "g38"']);
  });
});

test("stillRunning says what work waits for, as far as those who hang on its signal know", () => {
  const [outer, inner] = [new Canceller(), new Canceller()];
  const aborted = (): void => {};
  assert.equal(stillRunning(undefined), "it was still running");
  subscribe(outer.signal, { aborted, describe: () => "a scope", passesOn: () => [inner.signal] });
  assert.equal(stillRunning(outer.signal), "it was still running");
  subscribe(inner.signal, { aborted, heldUpBy: () => 'acquire lock "a": it is held' });
  assert.equal(stillRunning(outer.signal), 'it was still waiting to acquire lock "a": it is held');
  subscribe(outer.signal, { aborted, heldUpBy: () => "use resource: it is opening" });
  assert.equal(
    stillRunning(outer.signal),
    'it was still waiting to acquire lock "a": it is held, and 1 more waits',
  );
  outer.abort(undefined);
  inner.abort(undefined);
});
