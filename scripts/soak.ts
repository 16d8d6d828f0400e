/**
 * Runs random transactions against a real server for a while, aborting some and killing the connections of others, and
 * looks whether what was acknowledged is what is stored, and whether memory stays flat.
 *
 * @module
 */
import process from "node:process";
import { CommitOutcomeUnknownError, Database, DatabaseError, type Transaction } from "../src/database/mod.ts";
import { placeholder, type ServerSubject, subjects } from "../tests/database/_servers/subjects.ts";
import { seeded } from "../tests/database/_servers/seeded.ts";
import { runCommand, UsageError } from "./lib/command.ts";

const help = `Runs random transactions against a real server for a while, and looks whether all adds up.

usage: deno task soak [--minutes <n>] [--driver <name>] [--seed <n>]

  --minutes <n>    for how long (default 10)
  --driver <name>  through which driver: ${subjects.map(({ name }) => name).join(", ")} (default pg)
  --seed <n>       of what is random (default: a new one, printed)
  --help           print this

Starts a server of its own, unless UNO_TEST_POSTGRES_URL or UNO_TEST_MYSQL_URL names one. Ends with 1 when a row is
missing or was not acknowledged, a session or transaction is left over, a rejection was not handled, or memory grew.`;

const WORKERS = 12;
const MAX = 6;
const KILL_EVERY_MS = 200;
const REPORT_EVERY_MS = 10_000;
/** Transactions of a worker after which it compares its rows with what it knows, and removes them. */
const ROUND = 100;
/** What the heap may have grown by, after collecting garbage. */
const GROWTH_MB = 3;

await runCommand(help, {
  minutes: { type: "string", default: "10" },
  driver: { type: "string", default: "pg" },
  seed: { type: "string" },
}, async ({ flags }) => {
  const minutes = Number(flags.minutes);
  if (!(minutes > 0)) {
    throw new UsageError(`Cannot soak as --minutes must be > 0: received "${flags.minutes}"`);
  }
  const subject = subjects.find(({ name }) => name === flags.driver);
  if (subject === undefined) throw new UsageError(`Cannot soak: no driver is named "${flags.driver}"`);
  if (subject.skip !== false) throw new UsageError(`Cannot soak through ${subject.name}: ${subject.skip}`);
  const seed = flags.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(flags.seed);
  console.log(`${subject.name}, ${minutes} min, seed ${seed}`);
  return await soak(subject, minutes * 60_000, seeded(seed));
});

async function soak(subject: ServerSubject, forMs: number, random: () => number): Promise<number> {
  const wrong: string[] = [];
  const note = (error: unknown): void => void wrong.push(`a rejection was not handled: ${error}`);
  process.on("unhandledRejection", note);
  await using place = await subject.kind.empty();
  await using outside = new Database(subject.driver(place), { max: 1, name: "outside" });
  await outside.query("create table t (id varchar(40) primary key, n integer not null)");
  const db = new Database(subject.driver(place), { max: MAX, name: "soak", maxLifetimeMs: 30_000 });
  const totals = { committed: 0, aborted: 0, thrown: 0, failed: 0, unknown: 0, kills: 0 };
  const heaps: number[] = [];
  const startedMs = performance.now();
  const isOver = (): boolean => performance.now() - startedMs >= forMs;

  /** One transaction, of some kind, to some end. */
  const one = async (id: string, known: Map<string, "stored" | "unknown">): Promise<void> => {
    const controller = new AbortController();
    const stop = new Error("stopped");
    const failure = new Error("thrown");
    const timer = random() < 0.25 ? setTimeout(() => controller.abort(stop), random() * 6) : undefined;
    try {
      await db.transaction((tx) => body(tx, id, failure), {
        signal: controller.signal,
        retry: { attempts: 20, lostConnection: true },
        isolation: random() < 0.2 ? "serializable" : undefined,
      });
      known.set(id, "stored");
      totals.committed++;
    } catch (error) {
      if (error === stop) totals.aborted++;
      else if (error === failure) totals.thrown++;
      else if (error instanceof CommitOutcomeUnknownError) {
        known.set(id, "unknown");
        totals.unknown++;
      } else if (error instanceof DatabaseError) totals.failed++;
      else wrong.push(`an error of no known kind: ${error}`);
    } finally {
      clearTimeout(timer);
    }
  };

  const body = async (tx: Transaction, id: string, failure: Error): Promise<void> => {
    const insert = `insert into t (id, n) values (${placeholder(subject.dialect, 1)}, 1)`;
    const kind = random();
    await tx.query(insert, [id]);
    if (kind < 0.15) throw failure;
    if (kind < 0.4) {
      // Taken back, and so never to be seen.
      await tx.savepoint(async (inner) => {
        await inner.query(insert, [`${id}/inner`]);
        throw failure;
      }).catch((error) => {
        if (error !== failure) throw error;
      });
    }
    if (kind > 0.8) await tx.query(`select count(*) as n from t where n > ${kind < 0.9 ? 0 : 1}`);
  };

  /** Looks whether a worker's rows are those that it knows of, and removes them. */
  const compare = async (prefix: string, known: Map<string, "stored" | "unknown">): Promise<void> => {
    const like = `id like '${prefix}%'`;
    const { rows } = await outside.query<{ id: string }>(`select id from t where ${like}`);
    const stored = new Set(rows.map(({ id }) => id));
    for (const id of stored) if (!known.has(id)) wrong.push(`${id} is stored and was not acknowledged`);
    for (const [id, state] of known) {
      if (state === "stored" && !stored.has(id)) wrong.push(`${id} was acknowledged and is not stored`);
    }
    await outside.query(`delete from t where ${like}`);
  };

  const killer = setInterval(() => {
    kill(subject, outside).then((killed) => totals.kills += killed, (error) => wrong.push(String(error)));
  }, KILL_EVERY_MS);
  const report = (): void => {
    const heap = heapMb();
    heaps.push(heap);
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    const { open, inUse, waiting, connected } = db.statistics();
    const counts = Object.entries(totals).map(([name, count]) => `${name} ${count}`).join(", ");
    console.log(
      `${seconds} s: ${counts}; open ${open}, in use ${inUse}, waiting ${waiting}, connected ${connected}; ` +
        `heap ${heap.toFixed(1)} MB, resident ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MB`,
    );
  };
  const reporter = setInterval(report, REPORT_EVERY_MS);
  await Promise.all(Array.from({ length: WORKERS }, async (_, worker) => {
    for (let round = 0; !isOver(); round++) {
      const known = new Map<string, "stored" | "unknown">();
      for (let i = 0; i < ROUND && !isOver(); i++) await one(`${worker}/${round}/${i}`, known);
      await compare(`${worker}/${round}/`, known);
    }
  }));
  clearInterval(killer);
  clearInterval(reporter);
  const seconds = (performance.now() - startedMs) / 1_000;
  report();

  const { inUse, waiting, connected } = db.statistics();
  if (inUse + waiting > 0) wrong.push(`${inUse} sessions are in use, ${waiting} callers wait`);
  const sessions = await Promise.all(Array.from({ length: MAX }, () => db.session({ timeoutMs: 10_000 })));
  for (const session of sessions) await session[Symbol.asyncDispose]();
  const { stragglers } = await db.close({ graceMs: 1_000 });
  if (stragglers.length > 0) wrong.push(`sessions were left: ${stragglers.join(", ")}`);
  const left = (await outside.query("select id from t")).rowCount;
  if (left > 0) wrong.push(`${left} rows were left`);
  // The first ones are from before everything was compiled and all caches were full.
  const [first, last] = [Math.min(...heaps.slice(1, 4)), Math.min(...heaps.slice(-3))];
  if (heaps.length > 6 && last - first > GROWTH_MB) {
    wrong.push(`the heap grew from ${first.toFixed(1)} to ${last.toFixed(1)} MB`);
  }
  const transactions = totals.committed + totals.aborted + totals.thrown + totals.failed + totals.unknown;
  console.log(
    `\n${transactions} transactions in ${seconds.toFixed(0)} s (${
      (transactions / seconds).toFixed(0)
    } a second), ` +
      `${connected} connections, ${totals.kills} kills; heap ${first.toFixed(1)} MB early, ${
        last.toFixed(1)
      } MB late`,
  );
  process.off("unhandledRejection", note);
  for (const text of new Set(wrong)) console.log(`WRONG: ${text}`);
  return wrong.length === 0 ? 0 : 1;
}

/** Kills a connection to this database. @returns How many. */
async function kill({ dialect }: ServerSubject, outside: Database): Promise<number> {
  if (dialect === "postgres") {
    const { rowCount } = await outside.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() order by random() limit 1`,
    );
    return rowCount;
  }
  const { rows } = await outside.query<{ id: number }>(
    `select id from information_schema.processlist
     where db = database() and id <> connection_id() order by rand() limit 1`,
  );
  if (rows[0] === undefined) return 0;
  await outside.query(`kill ${Number(rows[0].id)}`).catch(() => {});
  return 1;
}

/** What the heap holds, after collecting garbage where that can be asked for. */
function heapMb(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
}
