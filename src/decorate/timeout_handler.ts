/** A time limit: decorates methods as it stands. */
export { timeoutHandler } from "../flow/timeout_handler.ts";
