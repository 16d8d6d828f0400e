/** Finds out what this runs on. */
import type { Host } from "../host.ts";

/** The host of this process, whichever runtime it is. Loads the adapter of that runtime only. */
export async function detectHost(): Promise<Host> {
  const { Deno, Bun, process } = globalThis as {
    Deno?: unknown;
    Bun?: unknown;
    process?: { versions?: { node?: string } };
  };
  // Deno and Bun have a `process` too: they come first.
  if (Deno !== undefined) return (await import("./deno.ts")).denoHost();
  if (Bun !== undefined) return (await import("./bun.ts")).bunHost();
  if (process?.versions?.node !== undefined) return (await import("./node.ts")).nodeHost();
  throw new Error("Cannot find out what this runs on: it is none of Deno, Bun and Node, so pass a host");
}
