/** The only file of the test world that knows the runtimes: how each tells of rejections that nobody handles. */

interface Emitter {
  on(event: "unhandledRejection", listener: (reason: unknown) => void): unknown;
  off(event: "unhandledRejection", listener: (reason: unknown) => void): unknown;
}

/**
 * Tells of every unhandled rejection until disposed; meanwhile none of them ends the process.
 *
 * Others who listen, such as a test runner, are told as well. Under `bun test` nobody but the runner is told.
 */
export function watchRejections(seen: (reason: unknown) => void): Disposable {
  const { Deno: deno, process: emitter } = globalThis as { Deno?: unknown; process?: Partial<Emitter> };
  // Deno has `process.on` too, but its implementation of node:test keeps what it tells to itself.
  if (deno === undefined && typeof emitter?.on === "function") {
    const listener = (reason: unknown): void => seen(reason);
    emitter.on("unhandledRejection", listener);
    return { [Symbol.dispose]: () => void emitter.off!("unhandledRejection", listener) };
  }
  const listener = (event: Event): void => {
    event.preventDefault();
    seen((event as Event & { reason: unknown }).reason);
  };
  globalThis.addEventListener("unhandledrejection", listener);
  return { [Symbol.dispose]: () => globalThis.removeEventListener("unhandledrejection", listener) };
}
