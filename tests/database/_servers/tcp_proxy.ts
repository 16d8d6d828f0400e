/** A network that can be bad: stands between a client and a server, and delays, holds back, drops or cuts. */
import { connect, createServer, type Socket } from "node:net";

/** Which way bytes go. */
export type Direction = "toServer" | "toClient";

/** One connection through a proxy. */
export interface Line {
  /** Whether what is said on it is dropped, in both directions. */
  silent: boolean;
  /** Cuts it. */
  cut(): void;
}

/** A proxy in front of a server. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** How many connections go through it now. */
  readonly connections: number;
  /** Looks at every piece of bytes; what it returns goes on, nothing when it returns `undefined`. */
  filter: ((piece: Uint8Array, direction: Direction, line: Line) => Uint8Array | undefined) | undefined;
  /** Whether bytes are held back, in both directions and without a word: a half-open line. */
  frozen: boolean;
  /** Cuts all lines at once. */
  cut(): void;
  /** Whether new lines are refused. */
  refusing: boolean;
}

/** Opens a proxy on a free port of the loopback interface. */
export async function tcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const lines = new Set<() => void>();
  const proxy = {
    port: 0,
    filter: undefined as TcpProxy["filter"],
    frozen: false,
    refusing: false,
    get connections() {
      return lines.size;
    },
    cut(): void {
      for (const end of [...lines]) end();
    },
    async [Symbol.asyncDispose](): Promise<void> {
      proxy.cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  const server = createServer((client: Socket) => {
    if (proxy.refusing) return void client.destroy();
    const upstream = connect(target.port, target.host);
    const end = (): void => {
      lines.delete(end);
      client.destroy();
      upstream.destroy();
    };
    lines.add(end);
    const line: Line = { silent: false, cut: end };
    pass(client, upstream, "toServer", line);
    pass(upstream, client, "toClient", line);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
  });
  const pass = (from: Socket, to: Socket, direction: Direction, line: Line): void => {
    from.on("data", (piece: Uint8Array) => {
      if (proxy.frozen || line.silent) return;
      const rest = proxy.filter === undefined ? piece : proxy.filter(piece, direction, line);
      if (rest !== undefined && rest.length > 0 && !to.destroyed) to.write(rest);
    });
  };
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => resolve());
  });
  proxy.port = (server.address() as { port: number }).port;
  return proxy;
}
