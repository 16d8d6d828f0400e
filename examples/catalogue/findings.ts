/** What the catalogue has to say: questions that the database answers, however large it is. */
import type { Database } from "@uno/async/database";

/** Files with the same content. */
export interface Duplicates {
  readonly copies: number;
  readonly size: number;
  /** One of them. */
  readonly path: string;
}

/** A path that could not be catalogued. */
export interface Failure {
  readonly path: string;
  readonly code: string;
  readonly reason: string;
}

/** What the closing report shows of the catalogue. */
export interface Findings {
  readonly files: number;
  readonly bytes: number;
  readonly links: number;
  readonly others: number;
  readonly batches: number;
  /** How many groups of duplicates there are, and what all but one of each take up. */
  readonly duplicates: {
    readonly groups: number;
    readonly bytes: number;
    readonly largest: readonly Duplicates[];
  };
  readonly failures: { readonly count: number; readonly first: readonly Failure[] };
}

const same = `select min(path) as path, size, count(*) as copies from files
  where kind = 'file' and size > 0 group by sha256, size having count(*) > 1`;

/** Asks the questions, all of the same moment. */
export async function findings(database: Database, { show }: { show: number }): Promise<Findings> {
  return await database.transaction(async (tx) => {
    const { rows: [totals] } = await tx.query<Omit<Findings, "duplicates" | "failures">>(
      `select count(*) filter (where kind = 'file') as files, coalesce(sum(size) filter (where kind = 'file'), 0) as bytes,
        count(*) filter (where kind = 'link') as links, count(*) filter (where kind = 'other') as others,
        count(distinct batch) as batches from files`,
    );
    const { rows: [sum] } = await tx.query<{ groups: number; bytes: number }>(
      `select count(*) as groups, coalesce(sum(size * (copies - 1)), 0) as bytes from (${same})`,
    );
    const { rows: largest } = await tx.query<Duplicates>(
      `${same} order by size * (copies - 1) desc, path limit ?`,
      [show],
    );
    const { rows: [{ count } = { count: 0 }] } = await tx.query<{ count: number }>(
      "select count(*) as count from failures",
    );
    const { rows: first } = await tx.query<Failure>("select * from failures order by path limit ?", [show]);
    return { ...totals!, duplicates: { ...sum!, largest }, failures: { count, first } };
  }, { readOnly: true });
}
