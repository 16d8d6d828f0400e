/** What tests need of a server, whichever it is, and what to do where there is none. */

/** A server of one's own. */
export interface TestServer extends AsyncDisposable {
  readonly url: string;
  /** Ends it at once, as a crash would. */
  stop(): Promise<void>;
  /** Starts it again, on the same port, with what it had stored. */
  start(): Promise<void>;
}

/** An empty database on some server. */
export interface ServerPlace {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}
