import { batcherLoads, batches, handLoads } from "./_batcher_cases.ts";

const group = `${batches} batches of 100 loads`;
Deno.bench("hand-written", { group, baseline: true }, async () => void await handLoads());
Deno.bench("AsyncBatcher.add", { group }, async () => void await batcherLoads());
