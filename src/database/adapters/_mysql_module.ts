/** What is used of the package `mysql2`, and what has to be done beyond it. @module */
import { connect } from "node:net";
import { isThenable } from "../../kernel/deferred.ts";
import { openOrLetGo } from "./_lifeline.ts";

/** What is used of a connection of `mysql2/promise`. */
export interface Mysql2Connection {
  /** What the server calls the connection. */
  readonly threadId?: number | null;
  /** What is below it, as {@linkcode Mysql2Line}. */
  readonly connection?: object;
  /** Runs a statement. */
  query(sql: string): Promise<[unknown, unknown]>;
  /** Runs a statement with values. */
  execute(sql: string, params: never): Promise<[unknown, unknown]>;
  /** Has the server forget the settings of the session. */
  reset(): Promise<void>;
  /** Ends it in good order. */
  end(): Promise<void>;
  /** Ends it at once. */
  destroy(): void;
  /** Listens to an event. */
  on(event: string, listener: (error?: unknown) => void): unknown;
}

/** What is used of the package: `import mysql from "mysql2/promise"`. */
export interface Mysql2Module {
  /** Opens a connection. */
  createConnection(options: never): Promise<Mysql2Connection>;
}

interface Line {
  destroy?(): unknown;
}

interface LineConfig {
  readonly socketPath?: string;
  readonly host?: string;
  readonly port?: number | string;
  readonly enableKeepAlive?: boolean;
  readonly keepAliveInitialDelay?: number;
}

/** Opens a connection. The package hands it out when it is open, so the line is made here: it can then be given up before. */
export function open(
  module: Mysql2Module,
  options: object,
  signal: AbortSignal,
): Promise<Mysql2Connection> {
  const { stream: given } = options as { readonly stream?: unknown };
  let line: Line | undefined;
  const stream = (of: { readonly config: LineConfig }): unknown => {
    return line = (typeof given === "function" ? given(of) : given || lineTo(of.config)) as Line;
  };
  const opening = module.createConnection({ ...options, stream } as never);
  if (!isThenable(opening)) {
    (opening as Mysql2Connection).on("error", () => {});
    (opening as Mysql2Connection).destroy();
    throw new TypeError(
      "Cannot connect as module must be that of mysql2/promise: received one with callbacks",
    );
  }
  return openOrLetGo(opening, signal, () => line?.destroy?.(), destroy);
}

/** As the package makes it. */
function lineTo({ socketPath, host, port, enableKeepAlive, keepAliveInitialDelay }: LineConfig): Line {
  if (socketPath) return connect(socketPath);
  const line = connect(Number(port), host).setNoDelay(true);
  if (enableKeepAlive) line.on("connect", () => line.setKeepAlive(true, keepAliveInitialDelay));
  return line;
}

/** Ends a connection at once. Its own way to is to say good-bye, which on a half-open line takes for ever. */
export function destroy(connection: Mysql2Connection): void {
  connection.destroy();
  (connection.connection as { readonly stream?: Line } | undefined)?.stream?.destroy?.();
}

/** What a statement fails with whose connection was destroyed: the package says nothing of it. */
export function closedError(): Error {
  return Object.assign(new Error("Cannot query: the connection was closed"), {
    code: "PROTOCOL_CONNECTION_LOST",
  });
}

/** That blanks may stand before the parenthesis of a function. */
const IGNORE_SPACE = 0x100;

/** Has the server forget the settings of the session, but for what the package asks for in the handshake. */
export async function resetSession(connection: Mysql2Connection): Promise<void> {
  await connection.reset();
  const { config } = (connection.connection ?? {}) as { readonly config?: { readonly clientFlags?: number } };
  if (((config?.clientFlags ?? 0) & IGNORE_SPACE) === 0) return;
  await connection.query("SET SESSION sql_mode = CONCAT(@@sql_mode, ',IGNORE_SPACE')");
}
