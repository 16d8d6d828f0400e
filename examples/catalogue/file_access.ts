/** How files are opened, and which are large. */
import { constants } from "node:fs";

/** Files of this size and above are read piece by piece. */
export const LARGE = 1 << 20;

/** Neither follows a link that took the file's place meanwhile, nor waits for the other end of a pipe that did. */
export const READ_ONLY: number = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) |
  (constants.O_NONBLOCK ?? 0);
