/** `UnoDb` on real servers. */
import assert from "node:assert/strict";
import process from "node:process";
import { it } from "node:test";
import { Database } from "@uno/async/database";
import { suite } from "../_suite.ts";
import { unhandledDuring } from "../_unhandled.ts";
import { orders, unoOn } from "./_orders.ts";
import { seeded } from "./_servers/seeded.ts";
import { subjects } from "./_servers/subjects.ts";
import { scenarios } from "./_uno_scenarios.ts";

for (const subject of subjects) {
  suite(`UnoDb on a server through ${subject.name}`, subject.skip, () => {
    for (const [promise, scenario] of Object.entries(scenarios)) {
      it(promise, async () => {
        await using place = await subject.kind.empty();
        await using db = new Database(subject.driver(place), { max: 5, name: "test" });
        await scenario(db);
      });
    }

    it("aborted at random moments: who got a row has it stored, once, and every session is good", async () => {
      const seed = Number(process.env.UNO_SEED ?? Math.floor(Math.random() * 2 ** 31));
      const random = seeded(seed);
      const unhandled = await unhandledDuring(async () => {
        await using place = await subject.kind.empty();
        await using db = new Database(subject.driver(place), { max: 3, name: "test" });
        await using uno = await unoOn(db, { batch: { maxSize: 20, concurrency: 2 } });
        const acknowledged = new Map<string, number>();
        await Promise.all(Array.from({ length: 30 }, async (_, caller) => {
          for (let i = 0; i < 10; i++) {
            const ref = `${caller}-${i}`;
            const controller = new AbortController();
            const reason = new Error(`stop ${ref}`);
            const timer = setTimeout(() => controller.abort(reason), random() * 10);
            try {
              const { id } = await uno.batchInsert(orders, { ref }, { signal: controller.signal });
              acknowledged.set(ref, id);
              await uno.batchUpdate(orders, id, { total: 7 }, { signal: controller.signal });
            } catch (error) {
              assert.equal(error, reason, `seed ${seed}`);
            } finally {
              clearTimeout(timer);
            }
          }
        }));
        await uno.close();
        const { rows } = await db.query<{ id: number; ref: string }>("select id, ref from orders");
        const stored = new Map(rows.map(({ id, ref }) => [ref, id]));
        assert.equal(stored.size, rows.length, `seed ${seed}`);
        for (const [ref, id] of acknowledged) assert.equal(stored.get(ref), id, `seed ${seed}`);
        assert.equal(db.statistics().inUse, 0);
      });
      assert.deepEqual(unhandled, []);
    });
  });
}
