/** What every script's command line has in common. @module */
import process from "node:process";
import { parseArgs, type ParseArgsConfig } from "node:util";

/** Thrown for what the caller did wrong: printed as one line, without a stack. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** What a script is given to run with. */
export interface Invocation {
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
  readonly operands: readonly string[];
}

/**
 * Runs a script's body with its parsed arguments and ends the process with the exit code the body returns.
 *
 * `--help` prints `help` and ends with 0; a {@linkcode UsageError} or an unknown flag ends with one line and 1.
 */
export async function runCommand(
  help: string,
  options: NonNullable<ParseArgsConfig["options"]>,
  body: (invocation: Invocation) => number | Promise<number>,
): Promise<never> {
  try {
    const { values, positionals } = parseArgs({
      args: process.argv.slice(2),
      allowPositionals: true,
      options: { ...options, help: { type: "boolean", short: "h" } },
    });
    if (values.help) {
      console.log(help);
      process.exit(0);
    }
    process.exit(await body({ flags: values as Invocation["flags"], operands: positionals }));
  } catch (error) {
    const wrongArguments = (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
    if (!(error instanceof UsageError) && !wrongArguments) throw error;
    console.error((error as Error).message);
    process.exit(1);
  }
}
