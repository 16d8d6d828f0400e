import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  groupEnded,
  groupOpened,
  type OpenGroup,
  openGroups,
  watchGroups,
} from "../../src/kernel/open_groups.ts";

const group: OpenGroup = { tree: () => "tree" };

describe("watchGroups", () => {
  test("keeps nothing while nobody looks", () => {
    groupOpened(group);
    assert.deepEqual(openGroups(), []);
  });

  test("knows those opened since and not ended, in order", () => {
    const [a, b, c] = [{ ...group }, { ...group }, { ...group }];
    {
      using _watching = watchGroups();
      for (const it of [a, b, c]) groupOpened(it);
      groupEnded(b);
      groupEnded(group);
      assert.deepEqual(openGroups().map((it) => [a, b, c].indexOf(it)), [0, 2]);
      {
        using _inner = watchGroups();
        assert.deepEqual(openGroups(), []);
      }
      assert.equal(openGroups().length, 2);
    }
    assert.deepEqual(openGroups(), []);
  });
});
