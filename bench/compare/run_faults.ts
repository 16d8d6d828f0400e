/**
 * The process in which scenes are played: prints each sighting as a line of JSON. Started by `faults.ts`.
 *
 * @module
 */
import { readdir } from "node:fs/promises";
import process from "node:process";
import { type Fault, play } from "./_faults.ts";

let count = 0;
process.on("unhandledRejection", () => count++);

const filters = process.argv.slice(2);
const folder = new URL("faults/", import.meta.url);
for (const file of (await readdir(folder)).sort()) {
  if (!file.endsWith(".ts") || file.startsWith("_")) continue;
  const { faults } = await import(new URL(file, folder).href) as { faults: readonly Fault<unknown>[] };
  for (const fault of faults) {
    if (filters.length > 0 && !filters.some((filter) => fault.name.includes(filter))) continue;
    console.error(fault.name);
    const taken = (): number => {
      const seen = count;
      count = 0;
      return seen;
    };
    for (const sighting of await play(fault, taken)) console.log(JSON.stringify(sighting));
  }
}
// Some peers keep timers that would hold the process.
process.exit(0);
