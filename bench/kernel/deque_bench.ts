import { benchCases } from "../_measure.ts";
import { cases } from "../cases/deque.ts";

await benchCases(cases);
