import { benchCases } from "../_measure.ts";
import { cases } from "../cases/circuit_breaker.ts";

await benchCases(cases);
