import { benchCases } from "../_measure.ts";
import { cases } from "../cases/task_group.ts";

await benchCases(cases);
