/** Trying again: decorates methods as it stands. */
export { retry } from "../flow/retry.ts";
