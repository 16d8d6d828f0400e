import { driverContract } from "../../contracts/driver_contract.ts";
import { postgres } from "../_servers/servers.ts";
import { bunSqlDriver } from "../../../src/database/adapters/bun_sql.ts";

driverContract({
  name: "Bun.SQL",
  skip: "Bun" in globalThis ? postgres.skip : "Bun.SQL comes with Bun only",
  server: true,
  async open() {
    const place = await postgres.empty();
    const { host: hostname, port, user: username, password, database } = place;
    return {
      make: (options) => bunSqlDriver({ hostname, port, username, password, database, ...options }),
      [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
    };
  },
});
