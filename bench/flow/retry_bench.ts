import { benchCases } from "../_measure.ts";
import { cases } from "../cases/retry.ts";

await benchCases(cases);
