import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Child, type End } from "./_fixtures/child.ts";

function run(mode: string): Child {
  return new Child("./app.ts", mode);
}

async function endOf(mode: string): Promise<End> {
  await using child = run(mode);
  return await child.ended();
}

describe("runApplication in a process", () => {
  test("ends by itself with 0 when main has returned", async () => {
    assert.deepEqual(await endOf("batch"), { by: 0, out: ["close db"], err: "" });
  });

  test("leaves an exit code alone that main has set", async () => {
    assert.deepEqual(await endOf("exitCode"), { by: 3, out: [], err: "" });
  });

  test("rule 9: a failed start is rolled back in reverse, shown once, and exits with 1", async () => {
    const { by, out, err } = await endOf("failedStart");
    assert.equal(by, 1);
    assert.deepEqual(out, ["close cache", "close db"]);
    assert.equal(err.split("port 80 is taken").length - 1, 1, err);
    assert.match(err, /^Error: port 80 is taken\n\s+at /);
  });

  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    test(`stays alive until ${signal}, stops gracefully, and exits with ${code}`, async () => {
      await using child = run("serve");
      await child.line("still there");
      child.send(signal);
      const { by, out, err } = await child.ended();
      assert.deepEqual([by, err], [code, ""]);
      assert.deepEqual(out.slice(0, 2), ["ready", "still there"]);
      assert.deepEqual(out.slice(2, 4).sort(), ["stop hook", "stopping"]);
      assert.deepEqual(out.slice(4), ["drained", "close web", "close db"]);
    });
  }

  test("rule 20: equal signals within 100 ms are one", async () => {
    await using child = run("echo");
    await child.line("ready");
    child.send("SIGINT");
    const { by, out, err } = await child.ended();
    assert.deepEqual([by, err], [130, ""]);
    assert.deepEqual(out.slice(-3), ["drained", "close web", "close db"]);
  });

  test("rule 20: a second signal forces the end, and says what was still running", async () => {
    for (const [second, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      await using child = run("impatient");
      await child.line("ready");
      child.send("SIGINT");
      await child.line("again");
      child.send(second);
      const { by, err } = await child.ended();
      assert.equal(by, code);
      assert.equal(
        err,
        `Application "shop" is ended by a second signal (${second}), still running: stop hook "flush"\n`,
      );
    }
  });

  test("rule 21: a stuck task is named at the deadline, and does not keep the process", async () => {
    await using child = run("stuck");
    await child.line("ready");
    child.send("SIGTERM");
    const { by, out, err } = await child.ended();
    assert.equal(by, 143);
    assert.deepEqual(out.slice(-2), ["close web", "close db"]);
    assert.equal(
      err,
      'TimeoutError: Cannot stop application "shop" within 300 ms: still running: task "stuck"\n',
    );
  });

  test("LC-10: when it has ended, the runtime's own answer to a signal is back", async () => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      await using child = run("ended");
      await child.line("ended");
      child.send(signal);
      assert.equal((await child.ended()).by, signal);
    }
  });

  test("LC-10: nested and repeated applications: each stops at its signal, nothing stays", async () => {
    await using child = run("afterwards");
    await child.line("ready");
    child.send("SIGINT");
    await child.line("ended 1");
    await child.line("ready", 2);
    child.send("SIGTERM");
    await child.line("ended 2");
    child.send("SIGINT");
    const { by, err } = await child.ended();
    assert.deepEqual([by, err], ["SIGINT", ""]);
  });
});

describe("registerSignalHandlers in a process", () => {
  test("runs at any signal; when it has ended, that signal has its default answer again", async () => {
    await using child = run("reload");
    await child.line("ready");
    child.send("SIGHUP");
    await child.line("reloaded");
    child.write("end");
    await child.line("ended");
    child.send("SIGUSR2");
    await child.line("more");
    child.send("SIGHUP");
    assert.equal((await child.ended()).by, "SIGHUP");
  });
});
