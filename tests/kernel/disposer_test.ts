import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { OwnedLease } from "../../src/kernel/disposer.ts";
import { MisuseError } from "../../src/kernel/errors.ts";

function lend(giveBack?: (lease: OwnedLease) => void): { lease: OwnedLease; returned: OwnedLease[] } {
  const returned: OwnedLease[] = [];
  const lease = new OwnedLease({
    giveBack(lease) {
      returned.push(lease);
      giveBack?.(lease);
    },
    describe: () => 'thing "x"',
  });
  return { lease, returned };
}

describe("OwnedLease", () => {
  test("release gives back once; a second release is misuse (LK-08)", () => {
    const { lease, returned } = lend();
    assert.equal(lease.held, true);
    lease.release();
    assert.equal(lease.held, false);
    assert.throws(() => lease.release(), (error) => {
      assert.ok(error instanceof MisuseError);
      assert.equal(error.message, 'Cannot release thing "x": this lease was given back before');
      return true;
    });
    assert.deepEqual(returned, [lease]);
  });

  test("disposing again, or after a release, does nothing", () => {
    const { lease, returned } = lend();
    {
      using _lease = lease;
      lease.release();
    }
    lease[Symbol.dispose]();
    assert.equal(returned.length, 1);
    const other = lend();
    other.lease[Symbol.dispose]();
    other.lease[Symbol.dispose]();
    assert.equal(other.returned.length, 1);
  });

  test("is not held any more while it is being given back", () => {
    const seen: boolean[] = [];
    const { lease, returned } = lend((lease) => {
      seen.push(lease.held);
      lease[Symbol.dispose]();
    });
    lease.release();
    assert.deepEqual(seen, [false]);
    assert.equal(returned.length, 1);
  });
});
