/** `UnoDb` on real servers. */
import { it } from "node:test";
import { Database } from "@uno/async/database";
import { suite } from "../_suite.ts";
import { subjects } from "./_servers/subjects.ts";
import { scenarios } from "./_uno_scenarios.ts";

for (const subject of subjects) {
  suite(`UnoDb on a server through ${subject.name}`, subject.skip, () => {
    for (const [promise, scenario] of Object.entries(scenarios)) {
      it(promise, async () => {
        await using place = await subject.kind.empty();
        await using db = new Database(subject.driver(place), { max: 5, name: "test" });
        await scenario(db);
      });
    }
  });
}
