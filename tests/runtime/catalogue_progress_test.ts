import assert from "node:assert/strict";
import { it } from "node:test";
import { bar, describe as parts, fit } from "../../examples/catalogue/progress.ts";
import { Tally } from "../../examples/catalogue/tally.ts";

const speed = { done: 100, read: 50, bytes: 2_000 };

it("the catalogue's progress says what was found, with a block that moves, while the total is unknown", () => {
  const tally = new Tally();
  tally.found = 12_345;
  assert.deepEqual(parts(tally, speed), ["found 12,345", "0 done"]);
  assert.deepEqual([0, 1, 17, 18, 34].map((ticks) => bar(tally, ticks)), [
    "[###-----------------]",
    "[-###----------------]",
    "[-----------------###]",
    "[----------------###-]",
    "[###-----------------]",
  ]);
});

it("the catalogue's progress counts only files as read, and fills the bar with all that is done", () => {
  const tally = new Tally();
  const entry = { path: "p", size: 1_500, mtimeMs: 0, sha256: null, target: null };
  tally.add([
    { is: "read", entry: { ...entry, kind: "file" }, ms: 1 },
    { is: "read", entry: { ...entry, kind: "link" }, ms: 1 },
    { is: "read", entry: { ...entry, kind: "other" }, ms: 1 },
    { is: "failed", path: "q", error: new Error("no") },
    { is: "unchanged", path: "r" },
  ]);
  const { done, read, links, others, failed, unchanged, bytes } = tally;
  assert.deepEqual(
    { done, read, links, others, failed, unchanged, bytes },
    { done: 5, read: 1, links: 1, others: 1, failed: 1, unchanged: 1, bytes: 1_500 },
  );
  tally.expected = 10;
  assert.deepEqual(parts(tally, speed), [
    "5 of 10 done",
    "50 ms left",
    "1.5 kB read",
    "50 files/s",
    "2.0 kB/s",
  ]);
  assert.equal(bar(tally, 7), "[##########----------]");
});

it("the catalogue's progress leaves out whole parts when there is no room", () => {
  assert.equal(fit(["5 of 10 done", "50 ms left"], 24), "5 of 10 done, 50 ms left");
  assert.equal(fit(["5 of 10 done", "50 ms left"], 23), "5 of 10 done");
  assert.equal(fit(["5 of 10 done"], 5), "");
});
