import { benchCases } from "../_measure.ts";
import { cases } from "../cases/limiter.ts";

await benchCases(cases);
