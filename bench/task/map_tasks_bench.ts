import { benchCases } from "../_measure.ts";
import { cases } from "../cases/map_tasks.ts";

await benchCases(cases);
