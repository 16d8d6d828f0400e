import { serverDriverContract } from "../../contracts/driver_contract.ts";

serverDriverContract("postgres.js");
