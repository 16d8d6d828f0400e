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
import { runOn, targetsNamed, titleOf, writePage } from "./_processes.ts";

const help =
  `Plays scenes that went wrong in other libraries, with their versions in bench/compare/peers.json and with
@uno/async, and prints what was seen.

usage: deno task compare:faults [--runtime <names>] [--json <file>] [--markdown <file>]
                               [filter ...]

A filter is a part of a scene's name: "abort", "permit".

  --runtime <names>  on these, with commas between them, or "all" (the default): node, deno, bun
  --json <file>      write all sightings there too
  --markdown <file>  write them there as a page
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
  markdown: { type: "string" },
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
  const date = new Date().toISOString().slice(0, 10);
  if (flags.markdown !== undefined) await writePage(String(flags.markdown), page(all, date));
  if (flags.json !== undefined) {
    const sightings = { date, versions, sightings: all };
    await writeFile(String(flags.json), `${JSON.stringify(sightings, undefined, 2)}\n`);
  }
  return ended === 0 ? 0 : 1;
});

/** What one of the cast came to; alike on all runtimes named in `where`. */
interface Told {
  readonly label: string;
  readonly verdict: "right" | "wrong" | "?";
  readonly saw: string;
  readonly where: readonly string[];
}

/** Scene by scene, with what was seen. */
function scenes(all: readonly Located[]): { first: Located; told: Told[] }[] {
  return [...new Set(all.map(({ fault }) => fault))].map((name) => {
    const here = all.filter(({ fault }) => fault === name);
    const told: Told[] = [];
    for (const who of new Set(here.map((sighting) => sighting.with))) {
      const seen = here.filter((sighting) => sighting.with === who);
      const [library, ...more] = who.split(", ");
      for (const saw of new Set(seen.map((sighting) => sighting.saw))) {
        const same = seen.filter((sighting) => sighting.saw === saw);
        const { wrong, version } = same[0]!;
        told.push({
          label: [library, version, ...more].filter(Boolean).join(" "),
          verdict: wrong === null ? "?" : wrong ? "wrong" : "right",
          saw,
          where: same.map(({ runtime }) => runtime.split(" ")[0]!),
        });
      }
    }
    return { first: here[0]!, told };
  });
}

function lines(all: readonly Located[]): string[] {
  return scenes(all).flatMap(({ first: { fault, scene, right }, told }) => [
    "",
    fault,
    `  ${scene}`,
    `  Right: ${right}`,
    ...told.map(({ label, verdict, saw, where }) =>
      `  ${verdict.padEnd(5)}  ${label.padEnd(40)}  ${saw} (${where.join(", ")})`
    ),
  ]).slice(1);
}

function page(all: readonly Located[], date: string): string {
  const runtimes = [...new Set(all.map(({ runtime }) => runtime))];
  return [
    "# What goes wrong elsewhere",
    "",
    `Made by \`deno task compare:faults\` on ${date}, on ${runtimes.join(", ")}.`,
    "",
    "Each scene was played with the newest version of each library that was known then, and with this one; the",
    "table says what was seen. A scene that some library's version of then gets right stays, if another one does",
    "not. Bold: not what is right.",
    "",
    ...scenes(all).flatMap(({ first: { fault, scene, right }, told }) => [
      `## ${fault[0]!.toUpperCase()}${fault.slice(1)}`,
      "",
      `${scene} Right: ${right[0]!.toLowerCase()}${right.slice(1)}`,
      "",
      "| library | what was seen | on |",
      "| --- | --- | --- |",
      ...told.map(({ label, verdict, saw, where }) => {
        const text = saw.replaceAll("|", "\\|");
        return `| ${label} | ${verdict === "wrong" ? `**${text}**` : text} | ${where.join(", ")} |`;
      }),
      "",
    ]),
  ].join("\n").trimEnd() + "\n";
}
