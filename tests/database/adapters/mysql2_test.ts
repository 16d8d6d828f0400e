import mariadb from "mysql2/promise";
import { driverContract } from "../../contracts/driver_contract.ts";
import { mysql } from "../_servers/servers.ts";
import { mysql2Driver } from "../../../src/database/adapters/mysql2.ts";

driverContract({
  name: "mysql2",
  skip: mysql.skip,
  server: true,
  async open() {
    const place = await mysql.empty();
    const { host, port, user, password, database } = place;
    return {
      make: (options) => mysql2Driver(mariadb, { host, port, user, password, database, ...options }),
      [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
    };
  },
});
