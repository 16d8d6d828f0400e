import { benchCases } from "../_measure.ts";
import { cases } from "../cases/async_resource_pool.ts";

await benchCases(cases);
