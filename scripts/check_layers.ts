/** Holds the layer table. @module */
import { checkLayers } from "./checks/layers.ts";
import { describeFinding, readSources } from "./checks/sources.ts";
import { runCommand } from "./lib/command.ts";

const help =
  `Checks that every file in src/ imports only what the layer table allows, that there are no import cycles,
and that only adapters and the clock touch the runtime's globals.

usage: deno run -A scripts/check_layers.ts`;

await runCommand(help, {}, async () => {
  const sources = await readSources();
  const findings = checkLayers(sources);
  for (const finding of findings) console.error(describeFinding(finding));
  console.log(`layers: ${sources.size} files, ${findings.length} findings`);
  return findings.length === 0 ? 0 : 1;
});
