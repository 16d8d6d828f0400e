import { benchCases } from "../_measure.ts";
import { cases } from "../cases/sleep.ts";

await benchCases(cases);
