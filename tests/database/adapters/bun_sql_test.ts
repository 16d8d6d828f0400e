import { serverDriverContract } from "../../contracts/driver_contract.ts";

serverDriverContract("Bun.SQL");
