import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRetryAfter, retryAfterOf } from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";

const nowMs = Date.UTC(1994, 10, 6, 8, 49, 37);

test("parseRetryAfter reads whole seconds, 0 included", () => {
  const cases: [string, number][] = [["0", 0], ["120", 120_000], [" 2 ", 2_000], ["007", 7_000]];
  for (const [value, ms] of cases) assert.equal(parseRetryAfter(value), ms, value);
  assert.equal(parseRetryAfter("9".repeat(400)), Number.MAX_SAFE_INTEGER);
});

test("parseRetryAfter reads the three forms of an HTTP date; one that has passed is 0", () => {
  const minute = [
    "Sun, 06 Nov 1994 08:50:37 GMT",
    "Sunday, 06-Nov-94 08:50:37 GMT",
    "Sun Nov  6 08:50:37 1994",
  ];
  for (const value of minute) assert.equal(parseRetryAfter(value, { nowMs }), 60_000, value);
  assert.equal(parseRetryAfter("Sun, 06 Nov 1994 08:49:36 GMT", { nowMs }), 0);
  assert.equal(parseRetryAfter("Sun, 06 Nov 1994 08:49:60 GMT", { nowMs }), 23_000, "a leap second");
  assert.equal(parseRetryAfter("Tuesday, 01-Jan-08 00:00:00 GMT", { nowMs }), Date.UTC(2008, 0, 1) - nowMs);
  assert.equal(parseRetryAfter("Monday, 06-Nov-60 00:00:00 GMT", { nowMs }), 0, "of the last century");
});

test("parseRetryAfter knows the calendar", () => {
  // Over leap years, the century that is none and the one that is.
  for (let day = -800; day < 60_000; day += 17) {
    const date = new Date(day * 86_400_000 + (day * 7_919_000) % 86_400_000);
    assert.equal(parseRetryAfter(date.toUTCString(), { nowMs: -1e15 }), date.getTime() + 1e15);
  }
  const days: [string, boolean][] = [
    ["Thu, 29 Feb 2024", true],
    ["Wed, 29 Feb 2023", false],
    ["Tue, 29 Feb 2000", true],
    ["Mon, 29 Feb 2100", false],
    ["Sat, 31 Dec 2022", true],
    ["Mon, 31 Nov 2022", false],
    ["Mon, 00 Nov 2022", false],
  ];
  for (const [day, is] of days) assert.equal(parseRetryAfter(`${day} 00:00:00 GMT`) !== undefined, is, day);
});

test("parseRetryAfter takes nothing else for a date or a number", () => {
  const wrong = [
    "-5",
    "+5",
    "1.5",
    "1e3",
    "0x10",
    "",
    " ",
    "soon",
    "5 s",
    "1994-11-06T08:50:37Z",
    "06 Nov 1994 08:50:37 GMT",
    "Sun, 06 Nov 1994 08:50:37 CET",
    "Sun, 06 Nov 1994 08:50:37",
    "Sun, 31 Feb 1994 08:50:37 GMT",
    "Sun, 06 Nov 1994 25:50:37 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:50:61 GMT",
    "Sun, 06 Nov 1994 08:50:37 GMT, 5",
    "1, 2",
  ];
  for (const value of wrong) assert.equal(parseRetryAfter(value, { nowMs }), undefined, value);
  for (const value of [undefined, null, 5, {}]) assert.equal(parseRetryAfter(value as string), undefined);
});

test("parseRetryAfter counts a date from the wall clock", async () => {
  await world(async (w) => {
    await w.advance(10_000);
    assert.equal(parseRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT"), 20_000);
  });
});

test("retryAfterOf counts a date from the response's own, whatever our clock shows", () => {
  const headers = new Headers({
    "Date": "Sun, 06 Nov 1994 08:49:37 GMT",
    "Retry-After": "Sun, 06 Nov 1994 08:51:37 GMT",
  });
  assert.equal(retryAfterOf({ status: 503, headers }), 120_000);
});

test("retryAfterOf reads the fields in use, the plainest first", async () => {
  const cases: [Record<string, string>, number | undefined][] = [
    [{}, undefined],
    [{ "Retry-After": "3", "RateLimit": '"a";r=0;t=9' }, 3_000],
    [{ "Retry-After": "-5", "RateLimit": '"a";r=0;t=9' }, 9_000],
    [{ "RateLimit": '"a";r=0;t=9, "b";r=0;t=30, "c";r=5;t=99' }, 30_000],
    [{ "RateLimit": '"a";r=5;t=9' }, undefined],
    [{ "RateLimit": '"a";r=0' }, undefined],
    [{ "RateLimit": '"a, \\"b\\";r=9";r=0;t=4;pk=:cHJvZA==:' }, 4_000],
    [{ "RateLimit": "default; r=0; t=4" }, 4_000],
    [{ "RateLimit": '"a";r=0;t=-4' }, undefined],
    [{ "RateLimit": '"a;r=0;t=4' }, undefined],
    [{ "RateLimit": '"a";r=0;t=4, "b' }, undefined],
    [{ "RateLimit": "=;r=0;t=4" }, undefined],
    [{ "RateLimit": '"a";r=0;t=4,' }, undefined],
    [{ "RateLimit": '"a";x="; r=0; t=4"' }, undefined],
    [{ "RateLimit": "limit=100, remaining=0, reset=50" }, 50_000],
    [{ "RateLimit": "limit=100, remaining=10, reset=50" }, undefined],
    [{ "RateLimit-Policy": '"a";q=100;w=60' }, undefined],
    [{ "RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "7" }, 7_000],
    [{ "RateLimit-Remaining": "1", "RateLimit-Reset": "7" }, undefined],
    [{ "RateLimit-Remaining": "0" }, undefined],
    [{ "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60" }, 60_000],
    [{ "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1767225660" }, 60_000],
    [{ "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1767225000" }, 0],
    [{ "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon" }, undefined],
  ];
  await world(() => {
    for (const [fields, ms] of cases) {
      assert.equal(retryAfterOf({ headers: new Headers(fields) }), ms, JSON.stringify(fields));
    }
  });
});

test("retryAfterOf is not slowed down by a long and malicious field", () => {
  const fields = [
    '"'.repeat(50_000),
    `"${"\\".repeat(50_000)}`,
    `a${";b".repeat(20_000)}!`,
    ",".repeat(50_000),
  ];
  for (const field of fields) retryAfterOf({ headers: new Map([["ratelimit", field]]) as never });
  for (const field of fields) {
    const headers = { get: (name: string) => name === "ratelimit" ? field : null };
    assert.equal(retryAfterOf({ headers }), undefined);
  }
});
