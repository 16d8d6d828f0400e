import type { Operation } from "../_scene.ts";

export const operations: readonly Operation[] = [];

const judges =
  "tells whether others wait properly: it ends with the test that it runs, and has tests of its own";

export const still: Record<string, string> = {
  "explore": judges,
  "sweep": judges,
  "world": judges,
  "World.advance": judges,
  "World.idle": judges,
  "World.external": judges,
  "LeakGuard.check": judges,
  "FakeHost.heard": "part of a test's own script; whoever waits in vain is told by the test world",
};
