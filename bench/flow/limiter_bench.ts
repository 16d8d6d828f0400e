import { handCalls, handWorkers, limiterCalls, limiterMap, tasks } from "./_limiter_cases.ts";

const calls = `${tasks} calls, 10 at a time`;
Deno.bench("hand-written semaphore", { group: calls, baseline: true }, async () => void await handCalls());
Deno.bench("Limiter.run", { group: calls }, async () => void await limiterCalls());

const map = `${tasks} items, 10 at a time`;
Deno.bench("hand-written workers", { group: map, baseline: true }, async () => void await handWorkers());
Deno.bench("Limiter.map", { group: map }, async () => void await limiterMap());
