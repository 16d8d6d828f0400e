/** Transactions: decorates methods as it stands. */
export { transactional } from "../database/transactional.ts";
