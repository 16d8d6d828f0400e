import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { copied, share } from "../../src/database/_uno_values.ts";

test("copied gives bytes and dates of its own, of their kind, and freezes the rest", () => {
  const kept = [{ raw: Buffer.from([1, 2]), bytes: new Uint8Array([3]), at: new Date(5), list: [{ n: 1 }] }];
  assert.equal(share(kept), "copied");
  const given = copied(kept)[0]!;
  assert.ok(Buffer.isBuffer(given.raw));
  given.raw[0] = 9;
  given.bytes[0] = 9;
  given.at.setTime(9);
  assert.throws(() => given.list[0]!.n = 9, TypeError);
  const again = copied(kept)[0]!;
  assert.deepEqual([[...again.raw], [...again.bytes], again.at.getTime(), again.list], [
    [1, 2],
    [3],
    5,
    [{ n: 1 }],
  ]);
});
