import { driverContract } from "../../contracts/driver_contract.ts";
import { pgliteForTests } from "../_pglite.ts";

driverContract({
  name: "PGlite",
  skip: false,
  server: false,
  async open() {
    const driver = await pgliteForTests();
    return { make: () => driver, [Symbol.asyncDispose]: () => Promise.resolve() };
  },
});
