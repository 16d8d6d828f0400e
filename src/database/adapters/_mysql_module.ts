/** What is used of the package `mysql2`, and what has to be done beyond it. @module */

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

/** Ends a connection at once. Its own way to is to say good-bye, which on a half-open line takes for ever. */
export function destroy(connection: Mysql2Connection): void {
  connection.destroy();
  (connection.connection as { readonly stream?: { destroy?(): unknown } } | undefined)?.stream?.destroy?.();
}

/** What a statement fails with whose connection was destroyed: the package says nothing of it. */
export function closedError(): Error {
  return Object.assign(new Error("Cannot query: the connection was closed"), {
    code: "PROTOCOL_CONNECTION_LOST",
  });
}
