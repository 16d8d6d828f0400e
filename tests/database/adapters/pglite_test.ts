import { PGlite } from "@electric-sql/pglite";
import { driverContract } from "../../contracts/driver_contract.ts";
import { pgliteDriver } from "../../../src/database/adapters/pglite.ts";

driverContract({
  name: "PGlite",
  skip: false,
  server: false,
  open: () =>
    Promise.resolve({ make: () => pgliteDriver(PGlite), [Symbol.asyncDispose]: () => Promise.resolve() }),
});
