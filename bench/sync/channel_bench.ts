import { benchCases } from "../_measure.ts";
import { cases } from "../cases/channel.ts";

await benchCases(cases);
