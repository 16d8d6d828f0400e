import postgresJs from "postgres";
import { driverContract } from "../../contracts/driver_contract.ts";
import { postgres } from "../_servers/servers.ts";
import { postgresJsDriver } from "../../../src/database/adapters/postgres_js.ts";

driverContract({
  name: "postgres.js",
  skip: postgres.skip,
  server: true,
  async open() {
    const place = await postgres.empty();
    const { host, port, user, password, database } = place;
    return {
      make: (options) => postgresJsDriver(postgresJs, { host, port, user, password, database, ...options }),
      [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
    };
  },
});
