import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ignore } from "../../src/kernel/deferred.ts";
import { type Ranked, Ranking, type RankingOptions } from "../../src/kernel/ranking.ts";
import { WaitQueue } from "../../src/kernel/wait_queue.ts";
import { world } from "../../src/testing/mod.ts";

interface Asked extends Ranked {
  readonly id: string;
  rank: number;
}

function ask(id: string, options: { rank?: number; key?: unknown; weight?: number } = {}): Asked {
  const { rank = 0, key, weight = 1 } = options;
  return { id, rank, key, weight };
}

function ranked(options?: RankingOptions<Asked>) {
  const queue = new WaitQueue<void, Asked>({ what: "enter", structure: "thing" });
  const ranking = new Ranking<Asked>(options);
  queue.reorder(ranking);
  return {
    queue,
    ranking,
    wait: (asked: Asked, signal?: AbortSignal) => {
      queue.wait(asked, { signal }).catch(ignore);
      return queue.newest!;
    },
    /** Serves so many, and says whom. */
    serve: (count = Infinity): string => {
      const served: string[] = [];
      for (let head = queue.head(); head !== undefined && served.length < count; head = queue.head()) {
        served.push(head.id);
        queue.grant();
      }
      return served.join(" ");
    },
  };
}

describe("Ranking", () => {
  test("serves the smallest rank first, and of equal ranks who came first", () => {
    const { wait, serve, ranking } = ranked();
    for (const [id, rank] of [["a", 0], ["b", -5], ["c", 0], ["d", -5], ["e", 3]] as const) {
      wait(ask(id, { rank }));
    }
    assert.equal(serve(), "b d a c e");
    assert.equal(ranking.keys, 0);
  });

  test("takes over those who wait already, and gives the queue back to who came first", () => {
    const queue = new WaitQueue<void, Asked>({ what: "enter", structure: "thing" });
    const served: string[] = [];
    const shared = ask("shared");
    for (const asked of [shared, shared, ask("c", { rank: -1 }), ask("d", { rank: -2 })]) {
      void queue.wait(asked);
    }
    const grant = () => (served.push(queue.head()!.id), queue.grant());
    queue.reorder(new Ranking<Asked>());
    grant();
    queue.reorder(undefined);
    grant();
    grant();
    queue.reorder(new Ranking<Asked>());
    grant();
    assert.deepEqual(served, ["d", "shared", "shared", "c"]);
    assert.equal(queue.size, 0);
  });

  test("lets keys take turns, and keeps the order within each", () => {
    const { wait, serve, ranking } = ranked();
    for (let i = 0; i < 5; i++) wait(ask(`a${i}`, { key: "a", rank: -i }));
    wait(ask("b0", { key: "b" }));
    wait(ask("none"));
    assert.equal(ranking.keys, 3);
    assert.equal(serve(), "a4 b0 none a3 a2 a1 a0");
    assert.equal(ranking.keys, 0);
  });

  test("lets a key spend as much in a turn as the heaviest costs", () => {
    const { wait, serve } = ranked();
    for (let i = 0; i < 6; i++) wait(ask(`a${i}`, { key: "a" }));
    for (let i = 0; i < 2; i++) wait(ask(`B${i}`, { key: "b", weight: 3 }));
    assert.equal(serve(), "a0 B0 a1 a2 a3 B1 a4 a5");
  });

  test("gives a key that comes back no claim on what it missed", () => {
    const { wait, serve } = ranked();
    for (let i = 0; i < 4; i++) wait(ask(`a${i}`, { key: "a" }));
    assert.equal(serve(2), "a0 a1");
    for (let i = 0; i < 4; i++) wait(ask(`b${i}`, { key: "b" }));
    assert.equal(serve(), "b0 a2 b1 a3 b2 b3");
  });

  test("forgets who gives up, the one whose turn it is included", () => {
    const { wait, serve, ranking } = ranked();
    const controllers = ["a", "b", "c"].map((key) => {
      const controller = new AbortController();
      wait(ask(key, { key }), controller.signal);
      return controller;
    });
    wait(ask("b2", { key: "b" }));
    controllers[0]!.abort();
    controllers[1]!.abort();
    assert.equal(ranking.keys, 2);
    assert.equal(serve(), "b2 c");
  });

  test("passes over keys that may not be served now", () => {
    const closed = new Set<unknown>(["a"]);
    const { wait, serve, queue } = ranked({ mayServe: ({ key }) => !closed.has(key) });
    for (const key of ["a", "b", "a", "c"]) wait(ask(key, { key }));
    assert.equal(serve(), "b c");
    assert.equal(queue.size, 2);
    assert.equal(queue.head(), undefined);
    closed.clear();
    assert.equal(serve(), "a a");
  });

  test("moves somebody whose rank has changed, and only then", () => {
    const { wait, serve, ranking } = ranked();
    const [a, b] = [ask("a"), ask("b")];
    wait(a);
    const second = wait(b);
    b.rank = -1;
    ranking.rerank(second);
    assert.equal(serve(), "b a");
    ranking.rerank(second); // served already
    assert.equal(ranking.keys, 0);
  });

  test("knows who would be served last", () => {
    const { wait, ranking, queue } = ranked({ mayBeLast: () => true });
    const last = () => ranking.last()?.data.id;
    assert.equal(last(), undefined);
    const waiters = [["a", 0], ["b", 4], ["c", 4], ["d", 1]].map(([id, rank]) =>
      wait(ask(id as string, { rank: rank as number, key: id }))
    );
    assert.equal(last(), "c");
    queue.dismiss(waiters[2]!, "away");
    assert.equal(last(), "b");
    (waiters[0]!.data as Asked).rank = 9;
    ranking.rerank(waiters[0]!);
    assert.equal(last(), "a");
    queue.settleAll("away");
    assert.equal(last(), undefined);
  });

  test("names nobody as last who may not be", () => {
    const { wait, ranking, serve } = ranked({ mayBeLast: ({ key }) => key !== "exempt" });
    wait(ask("a"));
    wait(ask("b", { rank: 1, key: "exempt" }));
    assert.equal(ranking.last()?.data.id, "a");
    assert.equal(serve(), "a b");
  });

  test("ranks no more than its window; the rest come in as they came", () => {
    const { wait, serve, queue, ranking } = ranked({ window: 2 });
    const controller = new AbortController();
    wait(ask("a", { rank: 1 }));
    wait(ask("b", { rank: 1 }));
    wait(ask("c", { rank: -9 }), controller.signal);
    const outside = wait(ask("d", { rank: -5 }));
    wait(ask("e", { rank: -7 }));
    (outside.data as Asked).rank = -6;
    ranking.rerank(outside);
    controller.abort();
    assert.equal(serve(1), "a");
    assert.equal(serve(1), "d");
    assert.equal(serve(), "e b");
    assert.equal(queue.size, 0);
  });

  test("drops a head whose signal is aborted when it is asked, whoever tells it first", async () => {
    await world(async (w) => {
      const { wait, serve, queue } = ranked();
      const controller = new AbortController();
      let served: string | undefined;
      // Told before the queue is, which subscribes later.
      controller.signal.addEventListener("abort", () => served = serve(1));
      wait(ask("a", { rank: -1 }), controller.signal);
      wait(ask("b"));
      controller.abort();
      await w.idle();
      assert.equal(served, "b");
      assert.equal(queue.totals.aborted, 1);
    });
  });

  test("tells one who is sent away, but has given up before, nothing but that", async () => {
    const { queue } = ranked();
    const controller = new AbortController();
    // Told before the queue is, which subscribes later.
    controller.signal.addEventListener("abort", () => queue.dismiss(queue.oldest!, "away"));
    const gone = queue.wait(ask("a"), { signal: controller.signal });
    controller.abort("gone");
    assert.equal(await gone.catch((error) => error), "gone");
    assert.deepEqual(queue.totals, { granted: 0, aborted: 1, timedOut: 0 });
  });

  test("serves every backlogged key alike, within twice what the heaviest costs", () => {
    const weights = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 60, maxLength: 60 });
    fc.assert(
      fc.property(fc.array(weights, { minLength: 2, maxLength: 4 }), (keys) => {
        const { wait, queue } = ranked();
        keys.forEach((weights, key) => {
          for (const weight of weights) wait(ask(`${key}`, { key, weight }));
        });
        const heaviest = Math.max(...keys.flat());
        const left = keys.map((weights) => weights.length);
        const cost = keys.map(() => 0);
        while (left.every((count) => count > 0)) {
          const { key, weight } = queue.head()!;
          queue.grant();
          left[key as number]!--;
          cost[key as number]! += weight;
          assert.ok(Math.max(...cost) - Math.min(...cost) <= 2 * heaviest, `${cost}`);
        }
        queue.settleAll("over");
      }),
      { seed: 4, numRuns: 100 },
    );
  });

  test("agrees with sorting, whatever comes, goes and moves", () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant("wait" as const), rank: fc.nat(5) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("grant" as const) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), which: fc.nat() }) },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant("move" as const), which: fc.nat(), rank: fc.nat(5) }),
      },
    );
    fc.assert(
      fc.property(fc.array(step, { size: "max", maxLength: 400 }), (steps) => {
        const { wait, queue, ranking } = ranked({ mayBeLast: () => true });
        let line: { asked: Asked; order: number; waiter: ReturnType<typeof wait> }[] = [];
        const sorted = () => line.toSorted((a, b) => a.asked.rank - b.asked.rank || a.order - b.order);
        steps.forEach((step, order) => {
          const one = "which" in step && line.length > 0 ? line[step.which % line.length]! : undefined;
          if (step.do === "wait") {
            const asked = ask(`${order}`, { rank: step.rank });
            line.push({ asked, order, waiter: wait(asked) });
          } else if (step.do === "grant") {
            const first = sorted()[0];
            assert.equal(queue.head(), first?.asked);
            assert.equal(queue.grant(), first !== undefined);
            line = line.filter((other) => other !== first);
          } else if (step.do === "leave" && one !== undefined) {
            assert.equal(queue.dismiss(one.waiter, "away"), true);
            assert.equal(queue.dismiss(one.waiter, "away"), false);
            line = line.filter((other) => other !== one);
          } else if (step.do === "move" && one !== undefined) {
            one.asked.rank = step.rank;
            ranking.rerank(one.waiter);
          }
          assert.equal(ranking.last()?.data, sorted().at(-1)?.asked);
          assert.equal(queue.size, line.length);
        });
        queue.settleAll("over");
      }),
      { seed: 5, numRuns: 100 },
    );
  });
});
