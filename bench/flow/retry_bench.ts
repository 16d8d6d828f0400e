import { bareCalls, calls, handLoops, policyRuns, retryCalls } from "./_retry_cases.ts";

const group = `${calls} calls that succeed at once`;
Deno.bench("bare call", { group, baseline: true }, async () => void await bareCalls());
Deno.bench("hand-written loop", { group }, async () => void await handLoops());
Deno.bench("retry().run", { group }, async () => void await policyRuns());
Deno.bench("retry(fn, options)", { group }, async () => void await retryCalls());
