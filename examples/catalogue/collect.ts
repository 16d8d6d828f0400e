/** Memory that a runtime would not give back by itself. */
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Collects all garbage of this thread, on Deno; elsewhere it does nothing.
 *
 * Deno's hash objects have memory outside of the heap that V8 looks after: V8 does not see it grow, and in a thread
 * that makes little other garbage it lets tens of thousands of dead ones lie.
 */
export const collect: () => void = process.versions.deno ? collector() : () => {};

function collector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}
