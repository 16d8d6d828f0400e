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
    `${number(unchanged)} unchanged and skipped`,
    `${number(removed)} vanished and removed`,
    `${number(failed)} failed`,
  ];
  const seconds = Math.max(0.001, ms / 1000);
  const rate = `${number(tally.done / seconds)} files/s, ${bytes(tally.bytes / seconds)}/s`;
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

/** What the library's parts did. */
function machinery(
  { examined: { openFiles, threads, large, retries }, batches, group, channels }: Summary,
): string[] {
  const through = channels.map(({ name, received, capacity }) =>
    `${name}: ${number(received)} through ${plural(capacity, "place")}`
  );
  return [
    `limiter    open files: ${number(openFiles.limit)} at once, ${number(openFiles.granted)} slots given, ` +
    `${number(openFiles.timedOut)} timed out; ${plural(threads, "thread")}, ${
      plural(large, "large file")
    }, ` +
    plural(retries, "retry", "retries"),
    `batcher    save: ${plural(batches.granted, "handful")} in ${plural(batches.batches, "transaction")}, ` +
    `${number(batches.failed)} failed`,
    `group      ${plural(group.spawned, "task")}: ${number(group.fulfilled)} done, ${
      number(group.failed)
    } failed, ` +
    `${number(group.cancelled)} cancelled (daemons)`,
    `channels   ${through.join("; ")}`,
  ];
}

function describe({ files, bytes: size, links, others, batches }: Findings): string {
  const more = [
    ...(links > 0 ? [plural(links, "symbolic link")] : []),
    ...(others > 0 ? [plural(others, "pipe, socket or device", "pipes, sockets or devices")] : []),
  ];
  return `${[`${plural(files, "file")} (${bytes(size)})`, ...more].join(", ")} in ${
    plural(batches, "batch", "batches")
  }`;
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
