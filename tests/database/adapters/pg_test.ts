import { serverDriverContract } from "../../contracts/driver_contract.ts";

serverDriverContract("pg");
serverDriverContract("pg", { cancel: "sql" });
