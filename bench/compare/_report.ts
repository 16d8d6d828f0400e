/** Writes what was measured as tables. */
import type { Figure, Outcome } from "./_compare.ts";
import { versions } from "./_peers.ts";

/** What one runtime's process printed. */
export interface Report {
  /** Such as `Node 24.1.0`. */
  readonly runtime: string;
  readonly outcomes: readonly Outcome[];
  /** Why it ended before all rows were measured. */
  readonly ended?: string;
}

const OURS = "@uno/async";
const HAND = "by hand";

/** The table of one runtime. */
export function tableLines({ outcomes, ended }: Report): string[] {
  const cells = [["case", "by hand", OURS, "others"], ...outcomes.map(row)];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((line) => line[column]!.length)));
  const line = (texts: readonly string[]): string =>
    `| ${texts.map((text, column) => column === 3 ? text : text.padEnd(widths[column]!)).join(" | ")} |`;
  const [head, ...body] = cells;
  const rule = widths.map((width, column) => "-".repeat(column === 3 ? 6 : width));
  return [line(head!), line(rule), ...body.map(line), ...(ended ? ["", `Ended early: ${ended}.`] : [])];
}

function row({ row: name, kind, figures }: Outcome): string[] {
  const [minimum] = figures;
  const hand = figures.slice(1).filter((figure) => figure.name.startsWith(HAND));
  const mine = figures.filter((figure) => figure.name.startsWith(OURS));
  const others = figures.filter((figure) =>
    figure !== minimum && !hand.includes(figure) && !mine.includes(figure)
  );
  others.sort((a, b) => (a.ratio ?? Infinity) - (b.ratio ?? Infinity));
  const text = (figure: Figure): string => {
    const label = figure.name.replace(OURS, "").replace(HAND, "").replace(/^, /, "").replace(", ", " ");
    const better = others.includes(figure) && (figure.ratio ?? Infinity) < (alike(figure, mine)?.ratio ?? 0);
    const value = better ? `**${amount(figure, kind)}**` : amount(figure, kind);
    return `${label} ${value}`.trim();
  };
  return [
    name,
    [
      minimum?.each === undefined ? `fails: ${minimum?.failed}` : absolute(minimum.each, kind),
      ...hand.map(text),
    ].join("; "),
    mine.map(text).join("; "),
    others.map(text).join("; "),
  ].map((cell) => cell.replaceAll("|", "\\|"));
}

/** The one of ours to hold against another's: the one with the same words after the comma, or else the first. */
function alike({ name }: Figure, mine: readonly Figure[]): Figure | undefined {
  const [, ...words] = name.split(", ");
  return mine.find((figure) => figure.name === [OURS, ...words].join(", ")) ?? mine[0];
}

function amount({ failed, ratio, quartiles, each, size, tooLong }: Figure, kind: Outcome["kind"]): string {
  if (failed !== undefined || ratio === undefined || each === undefined) return `fails: ${failed}`;
  const fewer = size === undefined
    ? ""
    : ` (with ${count(size)}${
      tooLong === undefined ? "" : `: ${count(tooLong.size)} took ${(tooLong.ms / 1_000).toFixed(1)} s`
    })`;
  if (kind === "bytes") return absolute(each, kind);
  // A wide spread is told: the figure then says less.
  const [low, high] = quartiles ?? [ratio, ratio];
  const spread = high > low * 1.4 ? ` (${digits(low)}–${digits(high)})` : "";
  return digits(ratio) + spread + fewer;
}

function digits(ratio: number): string {
  if (ratio >= 100) return Math.round(ratio).toLocaleString("en");
  return ratio.toFixed(ratio < 10 ? 2 : 1);
}

function count(number: number): string {
  return number.toLocaleString("en");
}

function absolute(each: number, kind: Outcome["kind"]): string {
  if (kind === "bytes") return `${count(Math.round(each))} B`;
  return each < 1_000 ? `${each.toFixed(0)} ns` : `${(each / 1_000).toFixed(2)} µs`;
}

/** A page with the tables of all runtimes. */
export function page(reports: readonly Report[], date: string, command: string): string {
  const used = new Set(
    reports.flatMap(({ outcomes }) => outcomes.flatMap(({ figures }) => figures.map(({ name }) => name))),
  );
  const named = Object.entries(versions).filter(([name]) =>
    [...used].some((figure) => figure === name || figure.startsWith(`${name},`))
  );
  return [
    "# Side by side",
    "",
    `Made by \`${command}\` on ${date}, with ${
      named.map(([name, version]) => `${name} ${version}`).join(", ")
    }.`,
    "",
    "How many times the least code that does the same job (`by hand`: no options, no messages, no events) each one",
    "takes. All contestants of a row run in one process in turn, round by round, each in a loop of its own, with",
    "garbage collected before each; the figure is the median of the ratios within each round. Where the machine had",
    "other work to do, processor time is told instead of the clock's. Each was first",
    "checked for doing the job; one that does not is not measured. A range in parentheses: the quartiles, where",
    "they are far apart. _With n_: with fewer items than the row says, as more take too long. Rows on memory give",
    "bytes. Bold: less than ours, that of the same kind or else the first one.",
    "",
    "Absolute times depend on the machine, and differences below a half may be chance.",
    "",
    ...reports.flatMap((report) => [`## ${report.runtime}`, "", ...tableLines(report), ""]),
  ].join("\n").trimEnd() + "\n";
}
