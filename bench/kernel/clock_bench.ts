import { benchCases } from "../_measure.ts";
import { cases } from "../cases/clock.ts";

await benchCases(cases);
