import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { Run, run } from "./_fixtures/catalogue_run.ts";
import { hashesOf, read, Scratch } from "./_fixtures/catalogue_tree.ts";

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

describe("the catalogue", () => {
  it("holds path, size, time and SHA-256 of every file, and links without following them", {
    timeout: 60_000,
  }, async () => {
    using scratch = await Scratch.make();
    await scratch.write("empty", "");
    await scratch.write("deep/er/and/deeper", "deep");
    await scratch.write("large", new Uint8Array((1 << 20) + 17).fill(7));
    await scratch.write("just below large", new Uint8Array((1 << 20) - 1).fill(8));
    await scratch.write("one piece", new Uint8Array(1 << 20).fill(9));
    for (const name of ["with space", "new\nline", "quo'te\"s", "-dash", "grüße 🙂", "%s?*", "back\\slash"]) {
      await scratch.write(`names/${name}`, name);
    }
    await mkdir(join(scratch.tree, "nothing"));
    await symlink("deep/er", join(scratch.tree, "to a folder"));
    await symlink("../tree", join(scratch.tree, "in a circle"));
    await symlink("nowhere", join(scratch.tree, "dangling"));
    execFileSync("mkfifo", [join(scratch.tree, "pipe")]);

    const { by, out, err } = await run(scratch.tree, "--db", scratch.database);
    assert.equal(by, 0, err);
    const { hashes, rows, failures } = await read(scratch.database);
    assert.deepEqual(hashes, await hashesOf(scratch.tree));
    assert.equal(hashes.size, 12);
    const { size, mtimeMs } = await stat(join(scratch.tree, "large"));
    assert.equal(rows.get("large")?.size, size);
    assert.equal(rows.get("large")?.mtime_ms, Math.floor(mtimeMs));
    assert.deepEqual(
      ["to a folder", "in a circle", "dangling", "pipe"].map((
        path,
      ) => [rows.get(path)?.kind, rows.get(path)?.target]),
      [["link", "deep/er"], ["link", "../tree"], ["link", "nowhere"], ["other", null]],
    );
    assert.equal(rows.size, 16);
    assert.deepEqual(failures, []);
    assert.match(
      out,
      /done in .*: 12 files read \(.*\), 3 symbolic links noted, 1 pipe, socket or device noted, 0 unchanged/,
    );
  });

  it(
    "skips what is unchanged in a second run, and follows what has changed",
    { timeout: 60_000 },
    async () => {
      using scratch = await Scratch.make();
      await scratch.fill(120);
      await run(scratch.tree, "--db", scratch.database, "--batch", "50");
      const before = await read(scratch.database);

      await scratch.write("part0/file7", "another content");
      await scratch.write("part0/file8", "same size!");
      await utimes(join(scratch.tree, "part0/file9"), 1_000, 1_000);
      await scratch.write("new", "new");
      await rm(join(scratch.tree, "part1"), { recursive: true });
      const { by, out, err } = await run(scratch.tree, "--db", scratch.database);
      assert.equal(by, 0, err);
      assert.match(out, /4 files read .*, 67 unchanged and skipped, 50 vanished and removed, 0 failed/);
      const after = await read(scratch.database);
      assert.deepEqual(after.hashes, await hashesOf(scratch.tree));
      assert.equal(after.rows.get("part0/file10")?.batch, before.rows.get("part0/file10")?.batch);
      assert.notEqual(after.rows.get("part0/file7")?.batch, before.rows.get("part0/file7")?.batch);

      assert.match(
        (await run(scratch.tree, "--db", scratch.database)).out,
        /0 files read .*, 71 unchanged and skipped/,
      );
    },
  );

  it("finds duplicates and says so", { timeout: 60_000 }, async () => {
    using scratch = await Scratch.make();
    for (const name of ["a", "b", "c"]) await scratch.write(name, "twins and one more");
    await scratch.write("d", "single");
    await scratch.write("e", "");
    await scratch.write("f", "");
    const { out } = await run(scratch.tree, "--db", scratch.database);
    assert.match(out, /duplicates 1 group, 36 B could be saved\n +3 x +18 B +a/);
    // A person who knows nothing of the library reads numbers with their units.
    assert.match(
      out,
      /\nlimiter +kept open files to \d+ at once, in \d+ threads?: gave 1 turn for a handful/,
    );
    assert.match(out, /\nretry +tried again 0 times, /);
    assert.match(out, /\nbatcher +saved 1 handful in 1 transaction; 0 handfuls failed\n/);
    assert.match(
      out,
      /\ngroup +ran 5 tasks side by side: 3 finished, 0 failed, 2 stopped when no longer needed\n/,
    );
    assert.match(
      out,
      /\nchannels +passed on 1 handful found, 1 handful examined; at most \d+ handfuls? waiting/,
    );
  });

  it("lists what can't be read, and goes on", { timeout: 60_000 }, async () => {
    using scratch = await Scratch.make();
    await scratch.fill(60);
    await scratch.write("locked/file", "locked");
    await chmod(join(scratch.tree, "locked"), 0);
    const isLocked = await readdir(join(scratch.tree, "locked")).then(() => false, () => true); // Not for root.
    // Deeper than a path can say: nobody can read that.
    const name = "x".repeat(250);
    const script = `while mkdir ${name} && cd ${name}; do :; done`;
    execFileSync("sh", ["-c", script], { cwd: scratch.tree, stdio: "ignore" });

    const { by, out, err } = await run(scratch.tree, "--db", scratch.database);
    await chmod(join(scratch.tree, "locked"), 0o700);
    assert.equal(by, 0, err);
    const { failures, hashes } = await read(scratch.database);
    const failed = failures.map(({ path, code, reason }) => [path.replace(/x.*x/, "deep"), code, reason]);
    assert.deepEqual(failed, [
      ...(isLocked ? [["locked", "EACCES", "permission denied"]] : []),
      ["deep", "ENAMETOOLONG", "its name is too long"],
    ]);
    assert.equal(hashes.size, isLocked ? 60 : 61);
    assert.match(out, /failures +[12]\n(.*\n)* *ENAMETOOLONG its name is too long: +x+/);
  });

  it("says of a name that is not valid UTF-8 that it is not", {
    timeout: 60_000,
    skip: process.platform === "linux" ? false : "the system has no such names",
  }, async () => {
    using scratch = await Scratch.make();
    await scratch.write("valid", "valid");
    const script = "printf x > \"$(printf 'file\\377')\"; mkdir \"$(printf 'folder\\377')\"";
    execFileSync("sh", ["-c", script], { cwd: scratch.tree });
    const { by, out, err } = await run(scratch.tree, "--db", scratch.database);
    assert.equal(by, 0, err);
    const { failures, hashes } = await read(scratch.database);
    assert.deepEqual([...hashes.keys()], ["valid"]);
    assert.deepEqual(failures.map(({ path, code, reason }) => [path, code, reason]), [
      ["file\ufffd", "EILSEQ", "its name is not valid UTF-8"],
      ["folder\ufffd", "EILSEQ", "its name is not valid UTF-8"],
    ]);
    assert.match(out, /: 1 file read .*, 2 failed;/);
  });

  it("refuses a second run on the same database, until the first is over or killed", {
    timeout: 60_000,
  }, async () => {
    using scratch = await Scratch.make();
    await scratch.fill(1_500);
    const args = [scratch.tree, "--db", scratch.database];
    await using first = new Run([...args, "--concurrency", "1", "--batch", "1"]);
    let over = false;
    void first.ended.then(() => over = true);
    const wal = `${scratch.database}-wal`;
    while (!over && await stat(wal).then(({ size }) => size < 50_000, () => true)) await pause(1);
    // It holds still, so that it can't be over before the second one has begun.
    first.send("SIGSTOP");
    assert.equal(over, false);
    const second = await run(...args);
    assert.deepEqual(second, {
      by: 1,
      out: "",
      err: `error: Cannot catalogue into ${JSON.stringify(scratch.database)}: another run is at it\n`,
    });
    first.send("SIGKILL");
    assert.equal((await first.ended).by, "SIGKILL");
    const third = await run(...args);
    assert.equal(third.by, 0, third.err);
    assert.deepEqual((await read(scratch.database)).hashes, await hashesOf(scratch.tree));
  });

  it("survives that files vanish and change under it", { timeout: 60_000 }, async () => {
    using scratch = await Scratch.make();
    await scratch.fill(1_500);
    await using running = new Run([scratch.tree, "--db", scratch.database, "--concurrency", "1"]);
    let ended = false;
    void running.ended.then(() => ended = true);
    for (let part = 29; part >= 0 && !ended; part -= 2) {
      await rm(join(scratch.tree, `part${part}`), { recursive: true });
      await scratch.write(`part${part - 1}/file${(part - 1) * 50}`, `changed ${part}`);
      await pause(15);
    }
    const { by, err } = await running.ended;
    assert.equal(by, 0, err);
    await read(scratch.database);
    assert.equal((await run(scratch.tree, "--db", scratch.database)).by, 0);
    assert.deepEqual((await read(scratch.database)).hashes, await hashesOf(scratch.tree));
  });

  it("leaves its own database out, and keeps it elsewhere by default", { timeout: 60_000 }, async () => {
    using scratch = await Scratch.make();
    await scratch.fill(10);
    const within = join(scratch.tree, "here.db");
    const { by, out } = await run(scratch.tree, "--db", within);
    assert.equal(by, 0);
    assert.match(out, /its own files are left out/);
    assert.equal((await read(within)).rows.size, 10);
    for (const ending of ["", ".lock"]) await rm(within + ending);

    // The cache folder is in the tree, the temporary one is not.
    const temporary = join(scratch.folder, "temporary");
    await mkdir(temporary);
    const env = {
      // The runtimes' own caches would be in the way.
      DENO_DIR: join(scratch.folder, "deno"),
      BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0",
      XDG_CACHE_HOME: join(scratch.tree, "cache"),
      LOCALAPPDATA: join(scratch.tree, "cache"),
      HOME: scratch.tree,
      TMPDIR: temporary,
      TEMP: temporary,
    };
    await using running = new Run([], { cwd: scratch.tree, env });
    assert.equal((await running.ended).by, 0);
    const [file, lock] = (await readdir(join(temporary, "uno-async-catalogue"))).sort();
    assert.equal(lock, `${file}.lock`);
    assert.match(file!, /^tree-[0-9a-f]{12}\.db$/);
    assert.equal((await read(join(temporary, "uno-async-catalogue", file!))).rows.size, 10);
    assert.deepEqual((await readdir(scratch.tree)).filter((name) => !name.startsWith("part")), []);
  });

  it("tells in one line what the user can mend, and exits with 1", { timeout: 60_000 }, async () => {
    using scratch = await Scratch.make();
    await scratch.fill(3);
    const file = join(scratch.folder, "text");
    await writeFile(file, "this is no database, but long enough to be taken for one".repeat(99));
    const other = join(scratch.folder, "other.db");
    await mkdir(join(scratch.folder, "else"));
    assert.equal((await run(join(scratch.folder, "else"), "--db", other)).by, 0);
    const cases: [string[], RegExp][] = [
      [[join(scratch.folder, "missing")], /Cannot catalogue ".*missing": there is no such folder/],
      [[file], /Cannot catalogue ".*text": it is not a folder/],
      [[scratch.tree, scratch.tree], /Cannot catalogue 2 folders at once/],
      [
        [scratch.tree, "--db", join(scratch.folder, "missing", "db")],
        /Cannot keep the catalogue in .*: there is no such folder/,
      ],
      [
        [scratch.tree, "--db", scratch.folder],
        /Cannot keep the catalogue in .*: unable to open database file/,
      ],
      [[scratch.tree, "--db", file], /Cannot keep the catalogue in .*: file is not a database/],
      [[scratch.tree, "--db", other], /Cannot keep the catalogue in .*: it is the catalogue of ".*else"/],
      [[scratch.tree, "--db", ""], /Cannot use --db without a file: write --db <file>/],
      [
        [scratch.tree, "--concurrency", "0"],
        /Cannot use --concurrency "0": it must be a whole number from 1 to 1024/,
      ],
      [[scratch.tree, "--concurrency", "many"], /Cannot use --concurrency "many"/],
      [[scratch.tree, "--concurrency"], /Cannot read the command line: /],
      [[scratch.tree, "--nonsense"], /Cannot read the command line: .*--nonsense/],
    ];
    const results = await Promise.all(cases.map(([args]) => run(...args)));
    for (const [i, { by, out, err }] of results.entries()) {
      const [args, message] = cases[i]!;
      assert.equal(by, 1, args.join(" "));
      assert.match(err, message);
      assert.match(err, /^error: [^\n]+\n$/, "one line");
      assert.equal(out, "");
    }
  });

  it("explains itself with --help", { timeout: 60_000 }, async () => {
    const { by, out, err } = await run("--help");
    assert.equal(by, 0);
    assert.match(out, /usage: deno task demo \[folder\][^]*--db[^]*--concurrency[^]*--help/);
    assert.equal(err, "");
  });
});
