/** What the texts of statements say of transactions, for drivers that do not pass on what the server says. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  holdsSeveral,
  refuseCopy,
  TransactionTracker,
} from "../../../src/database/adapters/_postgres_shared.ts";

function openAfter(open: boolean, sql: string): boolean {
  const tracker = new TransactionTracker();
  tracker.open = open;
  tracker.succeeded(sql);
  return tracker.open;
}

describe("TransactionTracker", () => {
  it("knows what begins a transaction, however it is written", () => {
    const beginning = [
      "begin",
      "BEGIN ISOLATION LEVEL SERIALIZABLE",
      "; ;\n\tbegin work",
      "start\n\n   transaction",
      `start${" ".repeat(200)}transaction`,
      "start/**/transaction",
      "/* a /* b */ c */ -- d\n begin",
      "start /* ' -- */ transaction",
      "start -- it's\n transaction",
      "rollback and chain",
      "commit work and /* - */ chain",
    ];
    for (const sql of beginning) assert.equal(openAfter(false, sql), true, sql);
    const other = [
      "beginning",
      "start",
      "-- begin",
      "/* begin */ select 1",
      "/* begin",
      "select 'begin'",
      "select 1 -- \nbegin",
      "prepare begin as select 1",
      "",
    ];
    for (const sql of other) assert.equal(openAfter(false, sql), false, sql);
  });

  it("knows what ends one", () => {
    const ending = [
      "commit",
      "END",
      "abort",
      "rollback",
      "rollback work",
      "commit and no chain",
      "/**/rollback--",
      "prepare transaction 'x'",
      "prepare /* - */ transaction 'x'",
    ];
    for (const sql of ending) assert.equal(openAfter(true, sql), false, sql);
    const other = [
      "rollback to a",
      "rollback to savepoint a",
      "rollback /* - */ work\nto a",
      "rollback transaction to a",
      "savepoint commit",
      "committing",
      "select 'x' -- commit",
    ];
    for (const sql of other) assert.equal(openAfter(true, sql), true, sql);
    const tracker = new TransactionTracker();
    tracker.open = true;
    tracker.failed("insert into t values (1)");
    assert.equal(tracker.open, true, "it is only doomed");
    tracker.failed("/* - */ commit");
    assert.equal(tracker.open, false);
  });
});

describe("holdsSeveral of PostgreSQL", () => {
  it("tells several statements from one, in doubt several", () => {
    const several = [
      "select 1; begin",
      "select 1;;select 2",
      "select ';'; select 2",
      "select 1 /* ; */; select 2",
      "do $$ begin; end $$; begin",
      "select $a$ $b$; $a$; select 1",
      "select E'x\\''; begin; select ''",
      "select 1 as a$b$; begin; select 2 as a$b$",
      "select 1 as é$b$; begin; select 2 as é$b$",
      "select $1$; begin; select $1$",
    ];
    for (const sql of several) assert.equal(holdsSeveral(sql), true, sql);
    const one = [
      "select 1",
      "select 1;",
      " ; ;select 1",
      "/* a /* b */ c */ -- d\n ;begin",
      "select 1; -- select 2",
      "select 1; /* a /* b */ c */ ;",
      "select ';'",
      'select 1 as "a;b"',
      "do $$ begin perform 1; perform 2; end $$",
      "select $a$ ; $$ ; $a$",
      "select $é1$ ; $$ ; $é1$",
      "select 1 as a$b$",
      "select E'it\\'s'",
      "select E'it\\'s';",
      "-- a; b\nselect 1",
    ];
    for (const sql of one) assert.equal(holdsSeveral(sql), false, sql);
  });
});

describe("refuseCopy", () => {
  it("refuses a COPY from STDIN or to STDOUT, however it is written, and no other statement", () => {
    const refused = [
      "copy t from stdin",
      "COPY t TO STDOUT",
      " ; -- a\n/* b */ copy/**/t (a, b)\nfrom\n\tstdin with (format csv, delimiter ',')",
      'copy "t" from /* it\'s */ stdin',
      "copy (select E'\\'', 'a') to stdout with (delimiter ',')",
      "copy (select $$'$$) to stdout (delimiter ',')",
      "copy (select 'a' -- it's\n) to stdout (delimiter ',')",
      "copy (select 'it''s') to stdout",
      // PostgreSQL takes either word either way.
      "copy t from stdout",
    ];
    for (const sql of refused) assert.throws(() => refuseCopy(sql), TypeError, sql);
    const fine = [
      "copy t from '/tmp/t.csv'",
      "copy t to program 'gzip > /tmp/stdout.gz'",
      "copy \"from stdin\" to '/tmp/t'",
      "select 'copy t from stdin'",
      "copying from stdin",
      "insert into t values ('copy', 'stdin')",
      "-- copy t from stdin\nselect 1",
    ];
    for (const sql of fine) assert.doesNotThrow(() => refuseCopy(sql), sql);
  });
});
