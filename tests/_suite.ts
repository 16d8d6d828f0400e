/** A group of tests that may have to be skipped as a whole: then it is one test, whose reason every runner shows. */
import { describe, it } from "node:test";

/** As `describe`, with the reason why it can't run here, if there is one. */
export function suite(title: string, skip: string | false, fn: () => void): void {
  if (skip === false) describe(title, fn);
  else it(title, { skip }, () => {});
}

/** Whether the sources are run as they stand. Compiled it is the same code again: what takes long is then done less often. */
export const isSource: boolean = import.meta.url.endsWith(".ts");
