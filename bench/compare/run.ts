/**
 * The measuring process of a comparison: prints each row's outcome as a line of JSON. Started by `main.ts`, once for
 * each runtime, with the effort and the filters.
 *
 * @module
 */
import { readdir } from "node:fs/promises";
import process from "node:process";
import { compare, quick, thorough } from "./_compare.ts";
import type { Row } from "./_rows.ts";

// A contestant's own; the figures of the others are still worth having.
process.on("unhandledRejection", (error) => console.error(`unhandled rejection: ${error}`));

const [effort, ...filters] = process.argv.slice(2);
const folder = new URL("cases/", import.meta.url);
const rows: Row[] = [];
for (const file of (await readdir(folder)).sort()) {
  if (!file.endsWith(".ts") || file.startsWith("_")) continue;
  const module = await import(new URL(file, folder).href) as { rows: readonly Row[] };
  rows.push(...module.rows);
}
const wanted = rows.filter(({ name }) =>
  filters.length === 0 || filters.some((filter) => name.includes(filter))
);
for (const [i, row] of wanted.entries()) {
  console.error(`${i + 1}/${wanted.length} ${row.name}`);
  console.log(JSON.stringify(await compare(row, effort === "quick" ? quick : thorough)));
}
// Some peers keep timers that would hold the process.
process.exit(0);
