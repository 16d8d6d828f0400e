import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { compareSurfaces, exportsOf, readSurface, writeSurface } from "../../scripts/checks/surface.ts";

const committed = await readFile(new URL("public_api.txt", import.meta.url), "utf8");
const config = JSON.parse(await readFile(new URL("../../deno.json", import.meta.url), "utf8"));

/** Kinds of exports that are there at run time. */
const values = new Set(["class", "function", "variable", "enum"]);

describe("public_api.txt", () => {
  test("names the doors of deno.json", () => {
    const doors = Object.keys(config.exports).map((door) => config.name + door.slice(1));
    assert.deepEqual([...readSurface(committed).keys()], doors);
  });

  for (const [door, names] of readSurface(committed)) {
    test(`lists what this runtime can import from ${door}`, async () => {
      const expected = names.map((line) => line.split(" ") as [string, string])
        .filter(([kinds]) => kinds.split("+").some((kind) => values.has(kind)))
        .map(([, name]) => name);
      assert.deepEqual(Object.keys(await import(door)).sort(), expected.sort());
    });
  }
});

describe("the surface check", () => {
  test("reads what it writes", () => {
    const surface = new Map([["@a/b", ["class A", "function b"]], ["@a/b/c", []]]);
    assert.deepEqual(readSurface(writeSurface(surface)), surface);
  });

  test("finds exports and doors that came or went, and a change of kind", () => {
    const before = new Map([["@a/b", ["class A", "class B"]], ["@a/b/old", ["function o"]]]);
    const now = new Map([["@a/b", ["class A", "interface B"]], ["@a/b/new", ["function n"]]]);
    assert.deepEqual(compareSurfaces(before, now), [
      "+ @a/b: interface B",
      "- @a/b: class B",
      "- @a/b/old",
      "- @a/b/old: function o",
      "+ @a/b/new",
      "+ @a/b/new: function n",
    ]);
    assert.deepEqual(compareSurfaces(now, now), []);
  });

  test("takes each exported name once, with all its kinds, and leaves private ones out", () => {
    const one = (kind: string, declarationKind = "export") => ({ kind, declarationKind });
    const symbols = [
      { name: "over", declarations: [one("function"), one("function")] },
      { name: "Both", declarations: [one("variable"), one("interface")] },
      { name: "hidden", declarations: [one("function", "private")] },
    ];
    assert.deepEqual(exportsOf({ nodes: { "file:///mod.ts": { symbols } } }), [
      "function over",
      "interface+variable Both",
    ]);
  });
});
