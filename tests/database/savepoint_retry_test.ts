/** What a savepoint's own statements meet counts as met by the transaction. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionLostError, Database, TransactionDoomedError } from "@uno/async/database";
import { world } from "@uno/async/testing";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

for (const statement of ["ROLLBACK TO SAVEPOINT uno_1", "RELEASE SAVEPOINT uno_1", "SAVEPOINT uno_1"]) {
  for (const dialect of ["postgres", "mysql", "sqlite"] as const) {
    test(`transaction whose connection is lost at ${statement} in ${dialect} runs again where that is asked for`, () =>
      world(async () => {
        let losing = true;
        const server = new FakeServer({
          dialect,
          fault: ({ sql }) => losing && sql === statement ? "lost" : undefined,
        });
        await using db = new Database(fakeDriver(server));
        const run = (retry: { lostConnection: true } | false): Promise<number> =>
          db.transaction(async (tx) => {
            if (tx.attempt > 1) losing = false;
            const mine = new Error("mine");
            await tx.savepoint(async (inner) => {
              await inner.query("INSERT", ["inner"]);
              throw mine;
            }).catch((error) => {
              if (error !== mine) throw error;
            });
            await tx.query("INSERT", ["outer"]);
            return tx.attempt;
          }, { retry });
        const failure = await run(false).then(() => undefined, (error: unknown) => error);
        const cause = failure instanceof TransactionDoomedError ? failure.cause : failure;
        assert.ok(cause instanceof ConnectionLostError, String(failure));
        assert.deepEqual([await run({ lostConnection: true }), server.rows], [2, ["outer"]]);
        assert.deepEqual(server.violations, []);
      }));
  }
}
