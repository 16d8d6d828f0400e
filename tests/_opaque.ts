/** Failures that can't be looked at: whoever throws such a thing must still be answered, with that very thing. */
import { TimeoutError } from "../src/kernel/errors.ts";

/** Some of them by name, made afresh. */
export function opaqueErrors(): readonly (readonly [name: string, error: unknown])[] {
  const refuse = (): never => {
    throw new TimeoutError("Cannot be looked at", { operation: "look", limitMs: 0 });
  };
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const getters = ["name", "message", "cause", "errors"] as const;
  return [
    ["a revoked proxy", proxy],
    ["a proxy that refuses all", new Proxy({}, { get: refuse, has: refuse, getPrototypeOf: refuse })],
    ...getters.map((key) =>
      [
        `an error whose ${key} throws`,
        Object.defineProperty(key === "errors" ? new AggregateError([1]) : new Error("x"), key, {
          get: refuse,
        }),
      ] as const
    ),
  ];
}

/** Whether `work` rejects with that very thing: which can't be returned by an async function, nor compared by `assert`. */
export async function rejectsWith(work: PromiseLike<unknown>, thing: unknown): Promise<boolean> {
  return await work.then(() => false, (error) => error === thing);
}
