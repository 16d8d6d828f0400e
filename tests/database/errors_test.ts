/** What can go wrong with a database, as classes and data. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClosedError } from "@uno/async";
import {
  CommitOutcomeUnknownError,
  ConnectFailedError,
  ConnectionLostError,
  ConstraintError,
  DatabaseError,
  LockTimeoutError,
  PartialCommitError,
  RetryExhaustedError,
  StatementTimeoutError,
  TransactionClosedError,
  TransactionConflictError,
  TransactionDoomedError,
} from "@uno/async/database";

const facts = { dialect: "postgres", stage: "commit", failure: "conflict", state: "40001" } as const;

test("every failure of a database is a DatabaseError, named as its class, with the facts as data and the driver's error as cause", () => {
  const cause = new Error("of the driver");
  const options = { ...facts, cause };
  const violation = { kind: "unique", constraint: "orders_ref_key", table: "orders" } as const;
  const made: DatabaseError[] = [
    new DatabaseError("m", options),
    new ConnectionLostError("m", options),
    new TransactionConflictError("m", options),
    new LockTimeoutError("m", options),
    new StatementTimeoutError("m", options),
    new TransactionDoomedError("m", options),
    new ConnectFailedError("m", { ...options, attempts: 3 }),
    new ConstraintError("m", { ...options, violation }),
    new CommitOutcomeUnknownError("m", { ...options, token: "17" }),
    new RetryExhaustedError("m", { ...options, errors: [1, cause] }),
  ];
  for (const error of made) {
    const { name, message, dialect, stage, failure, state } = error;
    assert.ok(error instanceof DatabaseError && error instanceof Error);
    assert.equal(name, error.constructor.name);
    assert.equal(Object.hasOwn(error, "name"), false, "as of errors of the language");
    assert.deepEqual({ message, dialect, stage, failure, state }, { message: "m", ...facts });
    assert.equal(error.cause, cause);
    assert.match(String(error.stack), new RegExp(`^${name}: m`));
  }
  const [, , , , , , connect, constraint, unknown, exhausted] = made as [
    ...DatabaseError[],
    ConnectFailedError,
    ConstraintError,
    CommitOutcomeUnknownError,
    RetryExhaustedError,
  ] & DatabaseError[];
  assert.equal((connect as ConnectFailedError).attempts, 3);
  const { kind, constraint: called, table } = constraint as unknown as ConstraintError;
  assert.deepEqual({ kind, constraint: called, table }, violation);
  assert.equal((unknown as CommitOutcomeUnknownError).token, "17");
  const { attempts, errors } = exhausted as unknown as RetryExhaustedError;
  assert.deepEqual([attempts, errors], [2, [1, cause]]);
});

test("an error without a cause has none, and one with an undefined one says so", () => {
  assert.equal(Object.hasOwn(new DatabaseError("m", facts), "cause"), false);
  assert.equal(Object.hasOwn(new DatabaseError("m", { ...facts, cause: undefined }), "cause"), true);
});

test("a transaction that was used after its end is closed, and a group that was committed in part tells of each", () => {
  assert.ok(new TransactionClosedError("m") instanceof ClosedError);
  assert.equal(new TransactionClosedError("m").name, "TransactionClosedError");
  const outcomes = [{ name: "a", outcome: "committed" }, {
    name: "b",
    outcome: "prepared",
    gid: "g",
  }] as const;
  const cause = new Error("first");
  const error = new PartialCommitError("m", outcomes, { cause });
  assert.deepEqual([error.name, error.outcomes, error.cause], ["PartialCommitError", outcomes, cause]);
});
