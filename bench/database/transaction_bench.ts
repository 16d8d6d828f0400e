import { benchCases } from "../_measure.ts";
import { cases } from "../cases/transaction.ts";

await benchCases(cases);
