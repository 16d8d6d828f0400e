import { benchCases } from "../_measure.ts";
import { cases } from "../cases/timeout.ts";

await benchCases(cases);
