/**
 * Testing what waits: virtual time, a guard against what is left behind, cancellation at every point, and other orders.
 *
 * @module
 */
export { explore, ExploreError, type ExploreOptions, type ExploreResult } from "./explore.ts";
export { FakeExit, FakeHost } from "./fake_host.ts";
export { LeakError, type LeakGuard, leakGuard, type Leaks } from "./leak_guard.ts";
export { type GroupTree, StuckError, type StuckState } from "./stuck_error.ts";
export { sweep, SweepError, type SweepOptions, type SweepResult } from "./sweep.ts";
export type { VirtualTimer } from "./virtual_clock.ts";
export { type World, world, type WorldOptions } from "./world.ts";
export { MisuseError } from "../kernel/errors.ts";
export type { ObserverRecord } from "../kernel/observer.ts";
