/** What is used of the package `pg`, and what it does not offer itself: a request to cancel. @module */

/** What is used of a `Client` of `pg`. */
export interface PgClient {
  /** What the server calls the connection. */
  readonly processID?: number | null;
  /** What a request to cancel has to show. */
  readonly secretKey?: number | null;
  /** Where it is connected to. */
  readonly host?: string;
  /** Where it is connected to. */
  readonly port?: number;
  /** What is below it, as {@linkcode PgWire}. */
  readonly connection?: object;
  /** Opens it. */
  connect(): Promise<unknown>;
  /** Runs a statement. */
  query(
    text: string | { text: string; values: unknown[]; queryMode: "extended" },
    values?: unknown[],
  ): Promise<PgResult | PgResult[]>;
  /** Ends it in good order. */
  end(): Promise<void>;
  /** Listens to an event. */
  on(event: string, listener: (error?: Error) => void): unknown;
  /** What the server said last: `I` outside of a transaction. */
  getTransactionStatus?(): string | null;
}

/** What is used of the line below a client. */
export interface PgWire {
  /** The socket. */
  readonly stream: { destroy(): unknown };
  /** Whether the line is encrypted. */
  readonly ssl?: unknown;
  /** Opens it. */
  connect(port: number | string, host?: string): void;
  /** Asks the server to stop what a connection does. */
  cancel(processID: number, secretKey: number): void;
  /** Listens to an event. */
  on(event: string, listener: (error?: Error) => void): unknown;
}

/** What a statement gives in `pg`. */
export interface PgResult {
  /** The rows. */
  readonly rows?: unknown[];
  /** How many rows it returned or changed. */
  readonly rowCount?: number | null;
  /** What it did. */
  readonly command?: string;
}

/** What is used of the package: `import pg from "pg"`. */
export interface PgModule {
  /** A connection. */
  readonly Client: new (config?: never) => PgClient;
}

/** The line below a client. */
export function wireOf(client: PgClient): PgWire | undefined {
  return client.connection as PgWire | undefined;
}

/** Has the server stop what a connection runs, by means of another client that is not connected yet. */
export async function sendCancel(
  client: PgClient,
  how: "wire" | "sql",
  processID: number,
  secretKey: number,
): Promise<void> {
  if (how === "wire") return await cancelOnWire(client, processID, secretKey);
  await client.connect();
  await client.query({ text: "select pg_cancel_backend($1)", values: [processID], queryMode: "extended" });
  await client.end();
}

/** The server closes the line when it has passed the request on: only then may the next statement be sent. */
function cancelOnWire(client: PgClient, processID: number, secretKey: number): Promise<void> {
  const { host, port } = client;
  const wire = wireOf(client)!;
  return new Promise((resolve, reject) => {
    wire.on("end", () => resolve());
    wire.on("error", reject);
    wire.on(wire.ssl ? "sslconnect" : "connect", () => wire.cancel(processID, secretKey));
    if (host?.startsWith("/")) wire.connect(`${host}/.s.PGSQL.${port}`);
    else wire.connect(port!, host);
  });
}
