/**
 * Plays scenes that go wrong in other libraries with their newest versions and with this one, and prints what was
 * seen.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { runCommand, UsageError } from "../../scripts/lib/command.ts";
import { killChildrenOnSignal } from "../../scripts/lib/process_tree.ts";
import type { Sighting } from "./_faults.ts";
import { installPeers, versions } from "./_peers.ts";
import { runOn, targetsNamed, titleOf } from "./_processes.ts";

const help =
  `Plays scenes that went wrong in other libraries, with their versions in bench/compare/peers.json and with
@uno/async, and prints what was seen.

usage: deno task compare:faults [--runtime <names>] [--json <file>] [filter ...]

A filter is a part of a scene's name: "abort", "permit".

  --runtime <names>  on these, with commas between them, or "all" (the default): node, deno, bun
  --json <file>      write all sightings there too
  --help             print this`;

/** A sighting with where it was made. */
interface Located extends Sighting {
  readonly runtime: string;
  readonly version?: string;
}

const LIMIT_MS = 300_000;

await runCommand(help, {
  runtime: { type: "string", default: "all" },
  json: { type: "string" },
}, async ({ flags, operands }) => {
  const targets = targetsNamed(String(flags.runtime));
  killChildrenOnSignal();
  await installPeers();
  const all: Located[] = [];
  let ended = 0;
  for (const target of targets) {
    const runtime = await titleOf(target);
    const ending = await runOn(target, "run_faults.ts", operands, LIMIT_MS, (line) => {
      const sighting = JSON.parse(line) as Sighting;
      all.push({ runtime, ...sighting, version: versions[sighting.with.split(", ")[0]!] });
    });
    if (ending.code !== 0) {
      ended++;
      const why = ending.tooLong
        ? `stopped after ${LIMIT_MS / 60_000} min`
        : `${ending.signal ?? ending.code}`;
      console.error(`${runtime}: ended early: ${why}`);
    }
  }
  if (all.length === 0 && ended === 0) {
    throw new UsageError(`Cannot play "${operands.join('", "')}": no scene is named so`);
  }
  console.log(lines(all).join("\n"));
  if (flags.json !== undefined) {
    const sightings = { date: new Date().toISOString().slice(0, 10), versions, sightings: all };
    await writeFile(String(flags.json), `${JSON.stringify(sightings, undefined, 2)}\n`);
  }
  return ended === 0 ? 0 : 1;
});

function lines(all: readonly Located[]): string[] {
  const out: string[] = [];
  for (const name of new Set(all.map(({ fault }) => fault))) {
    const here = all.filter(({ fault }) => fault === name);
    out.push("", name, `  ${here[0]!.scene}`, `  Right: ${here[0]!.right}`);
    for (const who of new Set(here.map((sighting) => sighting.with))) {
      const seen = here.filter((sighting) => sighting.with === who);
      const [library, ...more] = who.split(", ");
      const label = [library, seen[0]!.version, ...more].filter(Boolean).join(" ");
      for (const text of new Set(seen.map(({ saw }) => saw))) {
        const same = seen.filter(({ saw }) => saw === text);
        const verdict = same[0]!.wrong === null ? "?" : same[0]!.wrong ? "wrong" : "right";
        const where = same.map(({ runtime }) => runtime.split(" ")[0]).join(", ");
        out.push(`  ${verdict.padEnd(5)}  ${label.padEnd(40)}  ${text} (${where})`);
      }
    }
  }
  return out.slice(1);
}
