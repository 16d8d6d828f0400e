/** Finding out what became of a COMMIT that was not answered. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { world } from "@uno/async/testing";
import { observe } from "../../src/kernel/observer.ts";
import { commitCheck } from "../../src/database/commit_check.ts";
import type { SessionSource } from "../../src/database/session.ts";
import type { Wire } from "../../src/database/wire.ts";

const about = { attempt: 2, limitMs: 1_000 };
const noSource: SessionSource = { session: () => assert.fail("nobody is to be asked") };

/** A wire of a driver that can be asked, or not; what is run answers with `token`. */
function wireWith(token: unknown, canAsk = true): Wire {
  const commitCheck = canAsk ? { token: "the token", status: "the status" } : undefined;
  return {
    driver: { name: "fake", commitCheck },
    run: ({ sql }: { sql: string }) => {
      assert.equal(sql, "the token");
      return Promise.resolve({ rows: [{ token }], rowCount: 1 });
    },
  } as unknown as Wire;
}

/** Sessions that answer in turn: a status, or a failure of the session itself. */
function sourceOf(
  answers: readonly (string | null | Error)[],
): { source: SessionSource; asked: () => number } {
  let asked = 0;
  const session = () => {
    const answer = answers[Math.min(asked++, answers.length - 1)];
    if (answer instanceof Error) return Promise.reject(answer);
    return Promise.resolve({
      query(sql: string, params: unknown[]) {
        assert.deepEqual([sql, params], ["the status", ["17"]]);
        return Promise.resolve({ rows: [{ status: answer }], rowCount: 1 });
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  };
  return { source: { session } as unknown as SessionSource, asked: () => asked };
}

/** Asks the server, as `verifyCommit: true` does. */
async function askedOf(
  answers: readonly (string | null | Error)[],
): Promise<[outcome: string, asked: number]> {
  const { source, asked } = sourceOf(answers);
  const check = commitCheck("run", true, source, about)!;
  const token = await check.token(wireWith(17), undefined);
  return [await check.outcome(token), asked()];
}

describe("commitCheck", () => {
  test("is none when it was not asked for, and refuses what is neither true nor a function", () => {
    assert.equal(commitCheck("run", undefined, noSource, about), undefined);
    assert.equal(commitCheck("run", false, noSource, about), undefined);
    assert.throws(() => commitCheck("run", "yes" as never, noSource, about), {
      name: "TypeError",
      message: 'Cannot run as verifyCommit must be a function: received "yes"',
    });
  });

  test("takes what the server says, and asks again while it is coming back or has not ended the transaction yet", () =>
    world(async () => {
      assert.deepEqual(await askedOf(["committed"]), ["committed", 1]);
      assert.deepEqual(await askedOf(["aborted"]), ["aborted", 1]);
      const away = new Error("the server is starting up");
      assert.deepEqual(await askedOf([away, away, "in progress", "committed"]), ["committed", 4]);
    }));

  test("does not know of one that is too old for the server, nor of one that nobody answers about in time", () =>
    world(async (w) => {
      assert.deepEqual(await askedOf([null]), ["unknown", 1]);
      const since = w.now;
      const kinds: string[] = [];
      using _observing = observe({ record: ({ kind }) => void kinds.push(kind) });
      const [outcome, asked] = await askedOf(["in progress"]);
      assert.deepEqual([outcome, w.now - since], ["unknown", about.limitMs]);
      assert.ok(asked > 2, `${asked}`);
      assert.ok(kinds.includes("verify.failed"), kinds.join());
    }));

  test("calls one that wrote nothing committed, without asking", () =>
    world(async () => {
      const check = commitCheck("run", true, noSource, about)!;
      const token = await check.token(wireWith(null), undefined);
      assert.deepEqual([token, await check.outcome(token)], [undefined, "committed"]);
    }));

  test("needs a function with a driver that can't be asked", () =>
    world(async () => {
      const check = commitCheck("run transaction", true, noSource, about)!;
      await assert.rejects(check.token(wireWith(17, false), undefined), {
        name: "RangeError",
        message: "Cannot run transaction as verifyCommit must be a function with fake: received true",
      });
    }));

  test("asks the caller's function, with the attempt and a signal; what it throws or makes up is unknown", () =>
    world(async () => {
      const seen: unknown[] = [];
      using _observing = observe({
        record: ({ kind, data }) => void seen.push([kind, String((data as { error: unknown }).error)]),
      });
      const outcome = async (verify: (about: { attempt: number; signal: AbortSignal }) => unknown) => {
        const check = commitCheck("run", verify as never, noSource, about)!;
        assert.equal(await check.token(wireWith(17), undefined), undefined);
        return await check.outcome(undefined);
      };
      assert.equal(
        await outcome(({ attempt, signal }) => attempt === 2 && !signal.aborted && "committed"),
        "committed",
      );
      assert.equal(await outcome(() => Promise.resolve("aborted")), "aborted");
      assert.equal(await outcome(() => "unknown"), "unknown");
      assert.deepEqual(seen, []);
      assert.equal(await outcome(() => Promise.reject(new Error("no idea"))), "unknown");
      assert.equal(await outcome(() => "maybe"), "unknown");
      assert.equal(await outcome(() => new Promise(() => {})), "unknown");
      assert.deepEqual(seen.map((one) => (one as string[])[0]), Array(3).fill("verify.failed"));
      assert.match(String(seen[1]), /received "maybe"/);
      assert.match(
        String(seen[2]),
        /TimeoutError: Cannot finish find out what became of a transaction within 1000 ms/,
      );
    }));
});
