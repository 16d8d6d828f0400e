import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { settingsOf } from "../../src/database/settings.ts";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

const driver = { ...fakeDriver(new FakeServer()), maxSessions: undefined };

describe("settingsOf", () => {
  it("completes what was not said, otherwise for engines inside the process, of which there is one session", () => {
    const server = settingsOf(driver, {});
    assert.deepEqual([server.max, server.idleTimeoutMs, server.maxLifetimeMs], [10, 60_000, 1_800_000]);
    const inside = settingsOf({ ...driver, maxSessions: 1 }, {});
    assert.deepEqual([inside.max, inside.idleTimeoutMs, inside.maxLifetimeMs], [1, Infinity, Infinity]);
    assert.equal(server.driver, driver);
  });

  it("refuses what the driver can't do", () => {
    const wrong = [
      [{ ...driver, resets: false }, { reset: true }, "reset must be false with fake: received true"],
      [driver, { verifyCommit: true }, "verifyCommit must be a function with fake: received true"],
      [{ ...driver, maxSessions: 1 }, { max: 2 }, "max must be an integer from 1 to 1: received 2"],
      [driver, { max: 2, min: 3 }, "min must be an integer from 0 to 2: received 3"],
      [driver, { commitTimeoutMs: Infinity }, "commitTimeoutMs must be finite: received Infinity"],
    ] as const;
    for (const [of, options, why] of wrong) {
      assert.throws(() => settingsOf(of, options), { message: `Cannot create database as ${why}` });
    }
    const check = { token: "token", status: "status" };
    assert.equal(settingsOf({ ...driver, commitCheck: check }, { verifyCommit: true }).verifyCommit, true);
    assert.equal(settingsOf(driver, { reset: true }).reset, true);
  });
});
