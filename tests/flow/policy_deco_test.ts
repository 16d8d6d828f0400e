import assert from "node:assert/strict";
import { test } from "node:test";
import { Limiter, retry, transformer } from "../../src/flow/mod.ts";

const limiter = new Limiter({ limit: 1 });
const limited = transformer(limiter);
let [running, most] = [0, 0];

class Repository {
  static opened = 0;
  readonly #prefix = "row";
  failures = 2;

  @limited
  async load<K extends string | number>(key: K): Promise<[string, K]> {
    most = Math.max(most, ++running);
    await Promise.resolve();
    running--;
    return [this.#prefix, key];
  }

  @retry({ attempts: 3, baseMs: 0 })
  async flaky(options: { signal?: AbortSignal } = {}): Promise<number> {
    options.signal?.throwIfAborted();
    if (this.failures-- > 0) throw new Error("not yet");
    return await Promise.resolve(7);
  }

  @limited
  static async open(): Promise<number> {
    return await Promise.resolve(++this.opened);
  }

  @limited
  async #secret(): Promise<string> {
    return await Promise.resolve(this.#prefix);
  }

  secret(): Promise<string> {
    return this.#secret();
  }
}

test("a policy decorates methods: this, private names, statics and generics keep working", async () => {
  const repository = new Repository();
  const [row, other] = await Promise.all([
    repository.load("a"),
    repository.load(5),
    new Repository().load("b"),
  ]);
  const typed: [[string, string], [string, number]] = [row, other];
  assert.deepEqual(typed, [["row", "a"], ["row", 5]]);
  assert.equal(most, 1);
  assert.equal(await Repository.open(), 1);
  assert.equal(await repository.secret(), "row");
  assert.equal(repository.load.name, "load");
});

test("retry decorates methods and obeys the signal in their options", async () => {
  assert.equal(await new Repository().flaky(), 7);
  const signal = AbortSignal.abort("before");
  assert.equal(await new Repository().flaky({ signal }).catch((e) => e), "before");
});
