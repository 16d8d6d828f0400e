import { benchCases } from "../_measure.ts";
import { cases } from "../cases/pipeline.ts";

await benchCases(cases);
