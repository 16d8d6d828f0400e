/** A connection that is a client with a pool of one, for packages of PostgreSQL that hand out no connections. @module */
import type { Connection, Result } from "../driver.ts";
import { Loss, openOrDestroy } from "./_lifeline.ts";
import { refuseCopy, RESET, TransactionTracker } from "./_postgres_shared.ts";

/** What such packages differ in. */
export interface ClientKind<Client> {
  /** The `code` of their errors about a connection that was closed. */
  readonly closedCode: string;
  /** A client that opens one connection, when it is first used, and calls `onclose` when that is lost. */
  make(onclose: (error?: unknown) => void): Client;
  /** Runs one statement, and refuses several. */
  run(client: Client, sql: string, params: readonly unknown[]): Promise<Result>;
  /** Runs several statements, without values. */
  script(client: Client, sql: string): PromiseLike<readonly unknown[]>;
  /** Ends it, at the latest after `timeout` seconds. */
  end(client: Client, timeout: number): Promise<void>;
}

/** Opens a connection through a client of its own. */
export function connectClient<Client>(kind: ClientKind<Client>, signal: AbortSignal): Promise<Connection> {
  const connection = new ClientConnection(kind);
  const destroy = (): void => void connection.close({ force: true });
  return openOrDestroy(connection, signal, () => connection.open(), destroy);
}

class ClientConnection<Client> implements Connection {
  readonly raw: Client;
  id: number | undefined;
  readonly #kind: ClientKind<Client>;
  readonly #transaction = new TransactionTracker();
  readonly #loss = new Loss();
  #canceller: Client | undefined;

  constructor(kind: ClientKind<Client>) {
    this.#kind = kind;
    this.raw = kind.make(this.#loss.happen);
  }

  async open(): Promise<void> {
    const [row] = await this.#kind.script(this.raw, "select pg_backend_pid() as pid");
    this.id = (row as { pid: number }).pid;
  }

  onLost(lost: (error?: unknown) => void): void {
    this.#loss.listen(lost);
  }

  async query(sql: string, params: readonly unknown[]): Promise<Result> {
    refuseCopy(sql);
    // The client would connect anew, and run outside of whatever this belongs to.
    if (this.#loss.happened) {
      throw Object.assign(new Error("Cannot query: the connection was closed"), {
        code: this.#kind.closedCode,
      });
    }
    return await this.#transaction.follow(sql, this.#kind.run(this.raw, sql, params));
  }

  inTransaction(): boolean {
    return this.#transaction.open;
  }

  async cancel(): Promise<void> {
    if (this.#loss.happened) return;
    const other = this.#canceller = this.#kind.make(() => {});
    try {
      await this.#kind.run(other, "select pg_cancel_backend($1)", [this.id]);
    } finally {
      this.#canceller = undefined;
      await this.#kind.end(other, 0);
    }
  }

  async reset(): Promise<void> {
    await this.#kind.script(this.raw, RESET);
  }

  async close({ force }: { readonly force: boolean }): Promise<void> {
    const timeout = force || this.#loss.happened ? 0 : 5;
    if (force) this.#loss.mute();
    await Promise.all([
      this.#canceller === undefined ? undefined : this.#kind.end(this.#canceller, 0),
      this.#kind.end(this.raw, timeout),
    ]);
  }
}
