// Reporter for `node --test`: one JSON line for each event the test script needs. JavaScript, so that every Node that
// can run tests can load it.
import { inspect } from "node:util";

const wanted = new Set([
  "test:dequeue",
  "test:start",
  "test:pass",
  "test:fail",
  "test:stdout",
  "test:stderr",
  "test:diagnostic",
]);

/** @param {AsyncIterable<{ type: string, data: any }>} source */
export default async function* report(source) {
  for await (const { type, data } of source) {
    if (!wanted.has(type)) continue;
    const { name, nesting, file, message, skip, todo } = data;
    const event = { type, name, nesting, file, message, skip, todo, kind: data.details?.type };
    const error = data.details?.error;
    if (error) {
      event.failureType = error.failureType;
      event.failure = inspect(error.cause ?? error, { colors: false });
    }
    yield JSON.stringify(event) + "\n";
  }
}
