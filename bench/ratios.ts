/**
 * Prints how many times a hand-written minimum each part takes: medians over interleaved rounds, on any runtime.
 *
 *     deno run -A --v8-flags=--expose-gc,--no-flush-bytecode bench/ratios.ts [filter ...]
 *     node --expose-gc --no-flush-bytecode bench/ratios.ts [filter ...]
 *     bun bench/ratios.ts [filter ...]
 *
 * Cases are the exports named `cases` of the files in `bench/cases/`; a filter is a part of a case's name.
 *
 * @module
 */
import { readdir } from "node:fs/promises";
import process from "node:process";
import { type Case, measure, type Measured, runtime } from "./_measure.ts";

const folder = new URL("./cases/", import.meta.url);
const filters = process.argv.slice(2);
const cases: Case[] = [];
for (const file of (await readdir(folder)).sort()) {
  if (!file.endsWith(".ts") || file.startsWith("_")) continue;
  const module = await import(new URL(file, folder).href) as { cases: readonly Case[] };
  cases.push(...module.cases);
}

const { name, version } = runtime();
console.log(`${name} ${version}, ${new Date().toISOString().slice(0, 10)}\n`);
console.log(`| ${"case".padEnd(48)} | ratio | quartiles   | target | by hand | ours    |`);
console.log(`| ${"-".repeat(48)} | ----- | ----------- | ------ | ------- | ------- |`);

let missed = 0;
for (const one of cases) {
  if (filters.length > 0 && !filters.some((filter) => one.name.includes(filter))) continue;
  const measured = await measure(one);
  if (measured.reached === false) missed++;
  console.log(row(measured));
}
console.log(`\n${missed === 0 ? "All targets reached" : `Targets missed: ${missed}`}`);

function row({ case: one, ratio, quartiles, minimumNs, oursNs, reached }: Measured): string {
  const most = typeof one.target === "object" ? one.target[name] : one.target;
  const target = most !== undefined ? `${most}` : one.targetNs !== undefined ? nanoseconds(one.targetNs) : "";
  const mark = reached === false ? "!" : " ";
  const spread = quartiles.map((quartile) => quartile.toFixed(2)).join("–");
  return [
    "",
    one.name.padEnd(48),
    ratio.toFixed(2).padStart(5),
    spread.padEnd(11),
    (target + mark).padStart(6),
    nanoseconds(minimumNs).padStart(7),
    nanoseconds(oursNs).padStart(7),
    "",
  ].join(" | ").trim();
}

function nanoseconds(ns: number): string {
  return ns < 1_000 ? `${ns.toFixed(0)} ns` : `${(ns / 1_000).toFixed(2)} µs`;
}
