import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { census } from "../../src/kernel/census.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { Channel, ChannelClosedError } from "../../src/sync/channel.ts";
import { select, type SelectCase, trySelect } from "../../src/sync/select.ts";
import { world } from "../../src/testing/mod.ts";

const CHANNELS = 3;

const side = fc.record({ at: fc.nat(CHANNELS - 1), send: fc.boolean() });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("select" as const, "listed" as const, "try" as const),
      sides: fc.array(side, { minLength: 1, maxLength: 5, size: "max" }),
      limited: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("plain" as const), side, limited: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("advance" as const, "turn" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("close" as const), at: fc.nat(CHANNELS * 8) }) },
);
const kinds = fc.record({
  capacity: fc.nat(3),
  weighed: fc.boolean(),
  overflow: fc.constantFrom("block" as const, "block" as const, "sliding" as const, "dropping" as const),
});

interface Value {
  readonly id: number;
  readonly weight: number;
}

/** Somebody who waits: where, and on which sides. */
interface Party {
  readonly sides: readonly { at: number; send: boolean }[];
  readonly controller: AbortController;
}

describe("select at random", () => {
  test("delivers every value once or tells its sender, and lets nobody wait beside a partner", async () => {
    const seen = { received: 0, selected: 0, rejected: 0, dropped: 0, timedOut: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(kinds, { minLength: CHANNELS, maxLength: CHANNELS }),
        fc.array(step, { maxLength: 60, size: "max" }),
        (kinds, steps) =>
          world(async (w) => {
            const before = { ...census };
            const channels = kinds.map(({ capacity, overflow, weighed }) =>
              new Channel<Value>({
                capacity: overflow === "block" ? capacity : capacity + 1,
                overflow,
                ...(weighed && { weigh: ({ weight }) => weight }),
              })
            );
            let values = 0;
            const offered = new Set<number>();
            const sent = new Set<number>();
            const received: number[] = [];
            const waiting = new Set<Party>();
            let settled = 0;
            let started = 0;
            const value = (): Value => {
              offered.add(values);
              return { id: values, weight: values++ % 4 };
            };
            /** Counts an outcome, which must come once, and of which at most one case may be done. */
            const watch = (
              party: Party,
              outcome: Promise<unknown>,
              mine: readonly number[],
              did: string[],
            ): void => {
              waiting.add(party);
              started++;
              outcome.then(
                () => assert.equal(did.length, 1),
                (error) => {
                  assert.equal(did.length, 0);
                  if (error instanceof TimeoutError) seen.timedOut++;
                  else assert.ok(error instanceof ChannelClosedError || error === "abort", String(error));
                  seen.rejected++;
                  for (const id of mine) assert.ok(!sent.has(id));
                },
              ).finally(() => {
                waiting.delete(party);
                settled++;
              });
            };
            const got = ({ id }: Value): void => void received.push(id);
            for (const step of steps) {
              if (step.do === "select" || step.do === "listed" || step.do === "try") {
                const party: Party = { sides: step.sides, controller: new AbortController() };
                const did: string[] = [];
                const mine: number[] = [];
                const cases = step.sides.map(({ at, send }): SelectCase<void> => {
                  if (!send) return channels[at]!.receiving((it) => (did.push("receive"), got(it)));
                  const it = value();
                  mine.push(it.id);
                  return channels[at]!.sending(it, (taken) => {
                    did.push("send");
                    if (taken) sent.add(it.id);
                  });
                });
                const order = step.do === "listed" ? "listed" : "random";
                if (step.do === "try") {
                  try {
                    assert.equal(trySelect(cases, { order }) === undefined, did.length === 0);
                  } catch (error) {
                    assert.ok(error instanceof ChannelClosedError);
                    assert.equal(did.length, 0);
                  }
                } else {
                  const { signal } = party.controller;
                  const timeoutMs = step.limited ? 10 : Infinity;
                  watch(party, select(cases, { signal, timeoutMs, order }), mine, did);
                  seen.selected++;
                }
              } else if (step.do === "plain") {
                const { at, send } = step.side;
                const party: Party = { sides: [step.side], controller: new AbortController() };
                const options = { signal: party.controller.signal, timeoutMs: step.limited ? 10 : Infinity };
                const did: string[] = [];
                if (send) {
                  const it = value();
                  const sending = channels[at]!.send(it, options).then((taken) => {
                    did.push("send");
                    if (taken) sent.add(it.id);
                  });
                  watch(party, sending, [it.id], did);
                } else {
                  const receiving = channels[at]!.receive(options).then((it) => {
                    did.push("receive");
                    got(it);
                  });
                  watch(party, receiving, [], did);
                }
              } else if (step.do === "abort" && waiting.size > 0) {
                [...waiting][step.which % waiting.size]!.controller.abort("abort");
              } else if (step.do === "advance") await w.advance(10);
              else if (step.do === "turn") await undefined;
              else if (step.do === "close" && step.at < CHANNELS) channels[step.at]!.close();
            }
            await w.idle();
            // Nobody waits beside a partner, room, or something to take.
            const parties = [...waiting];
            for (const [at, channel] of channels.entries()) {
              const at_ = (send: boolean): Party[] =>
                parties.filter(({ sides }) => sides.some((side) => side.at === at && side.send === send));
              const [senders, receivers] = [at_(true), at_(false)];
              const { buffered, sending, receiving, closed } = channel.statistics();
              assert.equal(sending > 0, senders.length > 0);
              assert.equal(receiving > 0, receivers.length > 0);
              if (closed) assert.equal(sending + receiving, 0);
              if (receiving > 0) assert.equal(buffered, 0);
              assert.ok(senders.every((a) => receivers.every((b) => a === b)));
            }
            for (const channel of channels) {
              const { sending, receiving } = channel.statistics();
              if (receiving > 0) continue;
              const room = channel.trySend({ id: -1, weight: 0 });
              assert.ok(!room || sending === 0, "a sender waits beside room");
            }
            for (const { controller } of parties) controller.abort("abort");
            await w.idle();
            assert.equal(settled, started);
            for (const channel of channels) {
              const { sending, receiving } = channel.statistics();
              assert.deepEqual([sending, receiving], [0, 0]);
              for (let box = channel.tryReceive(); box; box = channel.tryReceive()) {
                received.push(box.value.id);
              }
              assert.equal(channel.statistics().weight, 0);
              seen.dropped += channel.statistics().dropped;
            }
            assert.deepEqual(census, before);
            const delivered = received.filter((id) => id >= 0);
            seen.received += delivered.length;
            assert.equal(new Set(delivered).size, delivered.length, "none twice");
            assert.ok(delivered.every((id) => sent.has(id)), "none that its sender was told is not sent");
            const pushedOut = kinds.some(({ overflow }) => overflow === "sliding");
            if (!pushedOut) assert.equal(delivered.length, sent.size, "none lost");
            assert.ok([...sent].every((id) => offered.has(id)));
            assert.equal(w.timers.length, 0);
          }, { auto: false, seed: steps.length }),
      ),
      { seed: 43, numRuns: 400 },
    );
    // It went everywhere.
    for (const [what, count] of Object.entries(seen)) assert.ok(count > 50, `${what}: ${count}`);
  });
});
