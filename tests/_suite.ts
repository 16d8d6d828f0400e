/** A group of tests that may have to be skipped as a whole: then it is one test, whose reason every runner shows. */
import { describe, it } from "node:test";

/** As `describe`, with the reason why it can't run here, if there is one. */
export function suite(title: string, skip: string | false, fn: () => void): void {
  if (skip === false) describe(title, fn);
  else it(title, { skip }, () => {});
}
