import { serverDriverContract } from "../../contracts/driver_contract.ts";

serverDriverContract("mysql2");
