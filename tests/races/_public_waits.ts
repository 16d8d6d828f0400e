/** Which public functions and methods can wait, as their declarations say. */
import { readdir, readFile } from "node:fs/promises";
import { readSurface } from "../../scripts/checks/surface.ts";

/** Doors whose waiting is tested elsewhere. */
const elsewhere: Readonly<Record<string, string>> = {
  "@uno/async/database": "waits for a server or a file: tests/database and tests/runtime abort it at random",
  "@uno/async/database/sqlite": "an adapter: waits for its engine",
};

/** What is exported to the public, by name: `class AsyncLock`. */
export async function publicNames(): Promise<Map<string, string>> {
  const text = await readFile(new URL("../surface/public_api.txt", import.meta.url), "utf8");
  const names = new Map<string, string>();
  for (const [door, lines] of readSurface(text)) {
    if (door in elsewhere) continue;
    for (const line of lines) {
      const [kind, name] = line.split(" ") as [string, string];
      names.set(name, kind);
    }
  }
  return names;
}

/** A member of a class or interface, or a function by itself, and its declaration without a body. */
interface Declared {
  readonly owner: string;
  readonly member: string | undefined;
  readonly kind: "class" | "interface" | "function";
  readonly text: string;
}

/** Something that promises to settle, or can be told to give up. */
const promises = /\b(Promise|AsyncIterator|AsyncIterableIterator|AsyncGenerator|ReadableStream)</;

/** Reads the declarations of a source that `deno fmt` has laid out. */
export function declarationsIn(source: string): Declared[] {
  const found: Declared[] = [];
  const lines = source.split("\n");
  let owner: { readonly name: string; readonly kind: "class" | "interface" } | undefined;
  const declaration = (from: number): string => {
    let text = "";
    for (let i = from; i < lines.length; i++) {
      text += lines[i] + "\n";
      if (/[{;]$/.test(lines[i]!) && !/[({,]\s*\w*\??:? \{$/.test(lines[i]!)) break;
    }
    return text;
  };
  lines.forEach((line, i) => {
    const top = /^export (?:abstract )?(class|interface) (\w+)/.exec(line);
    if (top !== null) owner = { kind: top[1] as "class" | "interface", name: top[2]! };
    else if (/^\}/.test(line)) owner = undefined;
    const fn = /^export (?:async )?function\*? (\w+)/.exec(line);
    if (fn !== null) {
      found.push({ owner: fn[1]!, member: undefined, kind: "function", text: declaration(i) });
    }
    if (owner === undefined) return;
    const member = /^ {2}(?:(?:static|async|readonly|override|get) )*\*?(\[Symbol\.\w+\]|[a-zA-Z]\w*)\??[(<:]/
      .exec(line)?.[1];
    if (member === undefined || member === "constructor") return;
    found.push({ owner: owner.name, member, kind: owner.kind, text: declaration(i) });
  });
  return found;
}

/** `AsyncLock.acquire`, `Limiter[Symbol.asyncDispose]`, `sleep`. */
function nameOf({ owner, member }: Declared): string {
  return member === undefined ? owner : member.startsWith("[") ? owner + member : `${owner}.${member}`;
}

/** The sources of the floors and wings whose waiting is listed. */
async function sources(): Promise<string[]> {
  const folder = new URL("../../src/", import.meta.url);
  const files = (await readdir(folder, { recursive: true })).map((file) => file.replaceAll("\\", "/")).sort();
  const wanted = files.filter((file) => file.endsWith(".ts") && !file.startsWith("database/"));
  return await Promise.all(wanted.map((file) => readFile(new URL(file, folder), "utf8")));
}

/** Every declaration of the library that is reached through the public names. */
export async function publicDeclarations(): Promise<Declared[]> {
  const names = await publicNames();
  return (await sources()).flatMap(declarationsIn).filter(({ owner, kind }) =>
    names.get(owner)?.split("+").includes(kind)
  );
}

/** The types of options that carry a signal. */
function optionsWithSignal(sources: readonly string[]): RegExp {
  const names = ["WaitOptions", "HoldOptions"];
  for (const source of sources) {
    for (
      const [text, name, base] of source.matchAll(
        /^export (?:interface|type) (\w+)(?: extends (\w+))?[^]*?^\}/gm,
      )
    ) {
      if (names.includes(base ?? "") || /^ {2}signal\?: AbortSignal/m.test(text)) names.push(name!);
    }
  }
  return new RegExp(`\\b(AbortSignal|${names.join("|")})\\b`);
}

/** The names of those that promise to settle, or take a signal. */
export async function publicWaits(): Promise<Set<string>> {
  const obeys = optionsWithSignal(await sources());
  const waits = new Set<string>();
  for (const declared of await publicDeclarations()) {
    // What picks parts of the options leaves the signal out.
    const text = declared.text.replace(/\b(?:Pick|Omit)<[^<>]*>/g, "");
    const returned = text.slice(Math.max(0, text.lastIndexOf("): ")));
    // A signal that is a member of an interface, or the value of a getter, is not taken but given.
    const gives = declared.kind === "interface" || /^ *get /.test(text);
    if (promises.test(returned) || !gives && obeys.test(text)) waits.add(nameOf(declared));
  }
  return waits;
}
