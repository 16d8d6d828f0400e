/**
 * Compares the library with a hand-written minimum and with other libraries, side by side in one process.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { runCommand, UsageError } from "../../scripts/lib/command.ts";
import { killChildrenOnSignal } from "../../scripts/lib/process_tree.ts";
import type { Outcome } from "./_compare.ts";
import { installPeers, versions } from "./_peers.ts";
import { runOn, targetsNamed, titleOf, writePage } from "./_processes.ts";
import { page, type Report, tableLines } from "./_report.ts";

const help = `Compares @uno/async with a hand-written minimum and with other libraries, in one process.

usage: deno task compare [--runtime <names>] [--quick] [--markdown <file>] [--json <file>]
                         [filter ...]

A filter is a part of a row's name: "lock", "abort". The libraries, in the versions of bench/compare/peers.json, are
fetched into .cache/compare/ first.

  --runtime <names>  on these, with commas between them, or "all" (the default): node, deno, bun
  --quick            about a minute a runtime instead of six; the figures are for a glance
  --markdown <file>  write the tables there too
  --json <file>      write all figures there
  --limit <minutes>  a runtime that takes longer is stopped (default 15)
  --help             print this`;

await runCommand(help, {
  runtime: { type: "string", default: "all" },
  quick: { type: "boolean" },
  markdown: { type: "string" },
  json: { type: "string" },
  limit: { type: "string", default: "15" },
}, async ({ flags, operands }) => {
  const limitMs = Number(flags.limit) * 60_000;
  if (!(limitMs > 0)) {
    throw new UsageError(`Cannot compare as --limit must be minutes > 0: received "${flags.limit}"`);
  }
  const targets = targetsNamed(String(flags.runtime));
  killChildrenOnSignal();
  await installPeers();
  const reports: Report[] = [];
  for (const target of targets) {
    const outcomes: Outcome[] = [];
    const { code, signal, tooLong } = await runOn(
      target,
      "run.ts",
      [flags.quick ? "quick" : "thorough", ...operands],
      limitMs,
      (line) => outcomes.push(JSON.parse(line)),
    );
    const ended = tooLong ? `stopped after ${flags.limit} min` : code === 0 ? undefined : `${signal ?? code}`;
    if (outcomes.length === 0 && ended === undefined) {
      throw new UsageError(`Cannot compare "${operands.join('", "')}": no row is named so`);
    }
    const report: Report = { runtime: await titleOf(target), outcomes, ended };
    reports.push(report);
    console.log([`\n${report.runtime}`, "", ...tableLines(report)].join("\n"));
  }
  const date = new Date().toISOString().slice(0, 10);
  if (flags.json !== undefined) {
    await writeFile(String(flags.json), `${JSON.stringify({ date, versions, reports }, undefined, 2)}\n`);
  }
  if (flags.markdown !== undefined) {
    const command = ["deno task compare", ...(flags.quick ? ["--quick"] : []), ...operands].join(" ");
    await writePage(String(flags.markdown), page(reports, date, command));
  }
  return reports.some(({ ended }) => ended !== undefined) ? 1 : 0;
});
