/** Holds the style of error messages. @module */
import { checkMessages } from "./checks/messages.ts";
import { describeFinding, readSources } from "./checks/sources.ts";
import { runCommand } from "./lib/command.ts";

const help =
  `Checks that every error message written in src/ begins with "Cannot " and ends without a full stop.

usage: deno run -A scripts/check_messages.ts`;

await runCommand(help, {}, async () => {
  const sources = await readSources();
  const findings = checkMessages(sources);
  for (const finding of findings) console.error(describeFinding(finding));
  console.log(`messages: ${sources.size} files, ${findings.length} findings`);
  return findings.length === 0 ? 0 : 1;
});
