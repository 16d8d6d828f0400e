/** Rows that several callers share: frozen, or a copy for each. */
import { isDate, isPlain } from "./where.ts";

/** How a value can be shared. */
export type Sharing =
  /** It is frozen. */
  | "frozen"
  /** It holds dates or bytes, which can't be frozen: it has to be copied. */
  | "copied"
  /** It holds objects of which nothing is known. */
  | "none";

/** Freezes a value as deep as it can be, and says how it can be shared then. */
export function share(value: unknown): Sharing {
  if (typeof value === "function") return "none";
  if (typeof value !== "object" || value === null) return "frozen";
  if (isDate(value) || value instanceof Uint8Array) return "copied";
  if (!Array.isArray(value) && !isPlain(value)) return "none";
  let sharing: Sharing = "frozen";
  for (const part of Object.values(value)) {
    const how = share(part);
    if (how === "none") sharing = "none";
    else if (how === "copied" && sharing === "frozen") sharing = "copied";
  }
  Object.freeze(value);
  return sharing;
}

/** A copy with dates and bytes of its own, frozen but for those. */
export function copied<T>(value: T): T {
  return copy(value) as T;
}

function copy(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isDate(value)) return structuredClone(value);
  // Not its own: that of a Buffer gives a view on the same bytes.
  if (value instanceof Uint8Array) return Uint8Array.prototype.slice.call(value);
  if (Array.isArray(value)) return Object.freeze(value.map(copy));
  const entries = Object.entries(value).map(([name, part]) => [name, copy(part)]);
  return Object.freeze(Object.fromEntries(entries));
}
