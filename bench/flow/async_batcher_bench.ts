import { benchCases } from "../_measure.ts";
import { cases } from "../cases/async_batcher.ts";

await benchCases(cases);
