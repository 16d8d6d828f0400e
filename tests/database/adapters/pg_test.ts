import pg from "pg";
import { driverContract } from "../../contracts/driver_contract.ts";
import { postgres } from "../_servers/servers.ts";
import { pgDriver } from "../../../src/database/adapters/pg.ts";

for (const cancel of ["wire", "sql"] as const) {
  driverContract({
    name: `pg, cancelling by ${cancel}`,
    skip: postgres.skip,
    server: true,
    async open() {
      const place = await postgres.empty();
      return {
        make: (options) => pgDriver(pg, { ...place, cancel, ...options }),
        [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
      };
    },
  });
}
