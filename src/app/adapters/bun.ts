/** Bun's process as a host. */
import type { Host } from "../host.ts";
import { ProcessHost, type ProcessLike } from "./_process.ts";

let host: Host | undefined;

/** The host of this process: one, as the process has one owner of its signals. */
export function bunHost(): Host {
  return host ??= new ProcessHost((globalThis as unknown as { process: ProcessLike }).process);
}
