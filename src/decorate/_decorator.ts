/** How a decorator comes to what its calls go through. */
import { checkChoice, checkFunction, checkOptions, show } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { type CallContext, nameOf, type Run, transform } from "../flow/policy.ts";
import type { Decorator, KeyFunction, Per, PerOptions } from "./decorator.ts";

/** A kind of structure that calls go through. */
export interface Kind<S, O> {
  /** In words, for messages. */
  readonly what: string;
  /** The method by which it is told from options. */
  readonly method: "run" | "get";
  /** Whose it is unless the options say so. */
  readonly per: Per;
  /** Whether none of its calls can do without a key. */
  readonly keyed?: boolean;
  make(options: O): S;
}

/** What a decorator is given: a structure, how to find one from `this`, or options to make some. */
// deno-lint-ignore no-explicit-any
export type Source<S, O> = S | ((self: any) => S) | O;

/** What all of the options have. */
export interface MadeOptions extends PerOptions {
  name?: string | undefined;
  key?: unknown | undefined;
}

/** Finds, for a function with this name, the structure for a call by what it is made on. */
export type Finder<S> = (name: string | undefined) => (self: unknown) => S;

/** Has the work of one call done by the structure. */
export type Pass<S> = (
  structure: S,
  work: (context: CallContext) => Promise<unknown>,
  options: WaitOptions | undefined,
  key: unknown,
) => Promise<unknown>;

/** A decorator whose calls are run by what has `run`: a limiter, a breaker. */
// deno-lint-ignore no-explicit-any
export function running<S extends Run<CallContext>, O extends MadeOptions, A extends any[]>(
  kind: Kind<S, O>,
  source: Source<S, O>,
  key: KeyFunction<A, unknown> | undefined,
): Decorator<A> {
  return decorator(finder(kind, source), () => key, (structure, work, options, key_) => {
    if (kind.keyed && options?.signal?.aborted) return Promise.reject(options.signal.reason);
    return structure.run(work, key === undefined ? options : { ...options, key: key_ } as WaitOptions);
  });
}

/** A decorator whose calls go through the structures that `find` finds, which `pass` knows how to use, by their keys. */
// deno-lint-ignore no-explicit-any
export function decorator<S, A extends any[], V>(
  find: Finder<S>,
  keyFor: (name: string | undefined) => KeyFunction<A, unknown> | undefined,
  pass: Pass<S>,
): Decorator<A, V> {
  return (fn, context) => {
    const name = nameOf(fn);
    const structureFor = find(name);
    const key = keyFor(name);
    return transform<CallContext, typeof fn>(fn, context, (work, options, self, args) => {
      try {
        const structure = structureFor(self);
        // The structure refuses and counts a call that is given up already; no key is asked of the user for it.
        const givenUp = options?.signal?.aborted;
        return pass(structure, work, options, givenUp ? undefined : key?.apply(self, args as A));
      } catch (error) {
        return Promise.reject(error);
      }
    });
  };
}

/** Finds what was given, what is found from `this`, or what is made for each function, or for each object. */
export function finder<S extends object, O extends MadeOptions>(
  kind: Kind<S, O>,
  source: Source<S, O>,
): Finder<S> {
  const { what, method } = kind;
  if (has(source, method)) return () => () => source as S;
  if (typeof source === "function") {
    return (name) => (self) => {
      const found = source(self);
      if (has(found, method)) return found;
      const doing = name === undefined ? "call" : `call ${JSON.stringify(name)}`;
      throw new TypeError(`Cannot ${doing} as its ${what} must have ${method}: received ${show(found)}`);
    };
  }
  checkOptions(`create ${what}`, source ?? null);
  const { per = kind.per, key: _, ...rest } = source as O;
  checkChoice(`create ${what}`, "per", per, ["function", "instance"]);
  const make = (name?: string): S => kind.make({ ...rest, name: rest.name ?? name } as unknown as O);
  make(); // What is wrong with the options is told now, not when something is decorated.
  return (name) => {
    if (per === "instance") return forEach(() => make(name));
    const one = make(name);
    return () => one;
  };
}

/** One for each object, made when first asked for and held as long as the object is; for what is none, one for all. */
export function forEach<S extends object>(make: (self: object | undefined) => S): (self: unknown) => S {
  const all = new WeakMap<object, S>();
  let other: S | undefined;
  return (self) => {
    if ((typeof self !== "object" && typeof self !== "function") || self === null) {
      return other ??= make(undefined);
    }
    let own = all.get(self);
    if (own === undefined) all.set(self, own = make(self));
    return own;
  };
}

/** The function for keys, be it among the options or beside a structure. */
// deno-lint-ignore no-explicit-any
export function keyFunction<A extends any[]>(
  what: string,
  source: unknown,
  beside: unknown,
): KeyFunction<A, unknown> | undefined {
  checkOptions(`create ${what}`, beside);
  if (typeof (beside as Partial<ClassMethodDecoratorContext> | undefined)?.addInitializer === "function") {
    throw new TypeError(`Cannot decorate as the ${what} must be given first: received the method itself`);
  }
  const among = typeof source === "function" ? undefined : source;
  const { key } = (beside ?? among ?? {}) as { key?: KeyFunction<A, unknown> };
  if (key !== undefined) checkFunction(`create ${what}`, "key", key);
  return key;
}

function has(value: unknown, method: string): boolean {
  return (typeof value === "object" || typeof value === "function") && value !== null &&
    typeof (value as Record<string, unknown>)[method] === "function";
}
