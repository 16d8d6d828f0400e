import { benchCases } from "../_measure.ts";
import { cases } from "../cases/async_semaphore.ts";

await benchCases(cases);
