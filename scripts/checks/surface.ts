/** The public surface: every name that a front door of `deno.json` exports. @module */

/** A door's exports, each as `<kind> <name>`, sorted. */
export type Surface = ReadonlyMap<string, readonly string[]>;

/** The part of the output of `deno doc --json` that is read here. */
export interface DocOutput {
  readonly nodes: Readonly<Record<string, { readonly symbols: readonly DocSymbol[] }>>;
}

interface DocSymbol {
  readonly name: string;
  readonly declarations: readonly { readonly kind: string; readonly declarationKind: string }[];
}

/** The exports of one door, from `deno doc --json <its file>`. */
export function exportsOf(doc: DocOutput): string[] {
  const lines = new Set<string>();
  for (const { symbols } of Object.values(doc.nodes)) {
    for (const { name, declarations } of symbols) {
      const exported = declarations.filter((declaration) => declaration.declarationKind === "export");
      const kinds = [...new Set(exported.map((declaration) => declaration.kind))].sort();
      if (kinds.length > 0) lines.add(`${kinds.join("+")} ${name}`);
    }
  }
  return [...lines].sort();
}

/** The committed form: a line for the door, then its exports, indented. */
export function writeSurface(surface: Surface): string {
  const lines = ["# What each front door exports. Written by: deno task surface --update"];
  for (const [door, names] of surface) lines.push("", door, ...names.map((name) => `  ${name}`));
  return lines.join("\n") + "\n";
}

/** Reads what {@linkcode writeSurface} wrote. */
export function readSurface(text: string): Surface {
  const surface = new Map<string, string[]>();
  let names: string[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("#") || line.trim() === "") continue;
    if (line.startsWith("  ")) names.push(line.trim());
    else surface.set(line.trim(), names = []);
  }
  return surface;
}

/** What was added to (`+`) and taken from (`-`) the surface, a line each. */
export function compareSurfaces(before: Surface, now: Surface): string[] {
  const changes: string[] = [];
  for (const door of new Set([...before.keys(), ...now.keys()])) {
    const old = before.get(door);
    const current = now.get(door);
    if (old === undefined) changes.push(`+ ${door}`);
    if (current === undefined) changes.push(`- ${door}`);
    for (const name of current ?? []) if (!old?.includes(name)) changes.push(`+ ${door}: ${name}`);
    for (const name of old ?? []) if (!current?.includes(name)) changes.push(`- ${door}: ${name}`);
  }
  return changes;
}
