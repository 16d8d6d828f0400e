/** The real event loop, as far as a test with virtual time needs it. */

// Taken at import: fake timers that are put in place later must not stop the test world.
const later: (run: () => void) => unknown = globalThis.setImmediate ??
  ((run: () => void) => globalThis.setTimeout(run, 0));

/**
 * Resolves after one real macrotask turn. Everything that could run has run then: all runtimes empty the queue of
 * microtasks, however long, before they take the next macrotask.
 */
export function turn(): Promise<void> {
  return new Promise((resolve) => void later(resolve));
}

/** Resolves after several turns: for what needs more than one, such as the report of an unhandled rejection. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}
