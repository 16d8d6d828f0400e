/** The closing report. */
import type { Findings } from "./findings.ts";
import type { Places } from "./places.ts";
import type { Summary } from "./pipeline.ts";
import { bytes, duration, number, plural, printable } from "./words.ts";

/** The report as text. */
export function report(summary: Summary, findings: Findings, { root, database, skip }: Places): string {
  return [
    ...doneIn(summary),
    ...list("slowest", summary.tally.slowest, ({ ms, size, path }) => [duration(ms), bytes(size), path]),
    ...duplicates(findings),
    ...failures(findings),
    ...machinery(summary),
    `catalogue  ${describe(findings)} of ${printable(root)}`,
    `database   ${printable(database)}${skip.size > 0 ? " (its own files are left out)" : ""}`,
  ].join("\n");
}

function doneIn({ tally, complete, removed, ms }: Summary): string[] {
  const { read, unchanged, failed } = tally;
  const parts = [
    `${plural(read, "file")} read (${bytes(tally.bytes)})`,
    ...besides(tally).map((what) => `${what} noted`),
    `${number(unchanged)} unchanged and skipped`,
    `${number(removed)} vanished and removed`,
    `${number(failed)} failed`,
  ];
  const seconds = Math.max(0.001, ms / 1000);
  const rate = `${number(read / seconds)} files/s, ${bytes(tally.bytes / seconds)}/s`;
  return [
    `${complete ? "done" : "interrupted"} ${complete ? "in" : "after"} ${duration(ms)}: ${
      parts.join(", ")
    }; ${rate}`,
    ...(complete ? [] : ["what was read is saved; run it again to go on from here"]),
  ];
}

function duplicates({ duplicates: { groups, bytes: size, largest } }: Findings): string[] {
  if (groups === 0) return ["duplicates none"];
  return [
    `duplicates ${plural(groups, "group")}, ${bytes(size)} could be saved`,
    ...list("", largest, ({ copies, size, path }) => [`${number(copies)} x`, bytes(size), path]),
  ];
}

function failures({ failures: { count, first } }: Findings): string[] {
  if (count === 0) return ["failures   none"];
  return [
    `failures   ${number(count)}`,
    ...list("", first, ({ code, reason, path }) => [code, `${reason}:`, path]),
    ...(count > first.length
      ? [`           and ${number(count - first.length)} more, in the table "failures"`]
      : []),
  ];
}

/** What the library's parts did, a line each. */
function machinery(
  { examined: { openFiles, threads, retries }, batches, group, channels, handful }: Summary,
): string[] {
  const handfuls = (n: number) => plural(n, "handful");
  const passed = channels.map(({ name, received }) => `${handfuls(received)} ${name}`);
  return [
    `limiter    kept open files to ${number(openFiles.limit)} at once, in ${
      plural(threads, "thread")
    }: gave ` +
    `${plural(openFiles.granted, "turn")} for a handful (up to ${plural(handful, "file")}) or a single file`,
    `retry      tried again ${plural(retries, "time")}, where a file was busy or changing`,
    `batcher    saved ${handfuls(batches.granted)} in ${plural(batches.batches, "transaction")}; ` +
    `${handfuls(batches.failed)} failed`,
    `group      ran ${plural(group.spawned, "task")} side by side: ${number(group.fulfilled)} finished, ` +
    `${number(group.failed)} failed, ${number(group.cancelled)} stopped when no longer needed`,
    `channels   passed on ${passed.join(", ")}; at most ${handfuls(channels[0]!.capacity)} waiting in each`,
  ];
}

function describe({ files, bytes: size, batches, ...more }: Findings): string {
  return `${[`${plural(files, "file")} (${bytes(size)})`, ...besides(more)].join(", ")} in ${
    plural(batches, "batch", "batches")
  }`;
}

/** What there was that is no file. */
function besides({ links, others }: { readonly links: number; readonly others: number }): string[] {
  return [
    ...(links > 0 ? [plural(links, "symbolic link")] : []),
    ...(others > 0 ? [plural(others, "pipe, socket or device", "pipes, sockets or devices")] : []),
  ];
}

function list<T>(
  title: string,
  items: readonly T[],
  columns: (item: T) => [string, string, string],
): string[] {
  return items.map((item, i) => {
    const [a, b, path] = columns(item);
    return `${(i === 0 ? title : "").padEnd(10)} ${a.padStart(8)} ${b.padStart(8)}  ${printable(path)}`;
  });
}
