import { benchCases } from "../_measure.ts";
import { cases } from "../cases/async_lock.ts";

await benchCases(cases);
