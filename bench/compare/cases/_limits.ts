/** What the rows on limiters have in common. */

/** The work of one call. */
export type Work = (i: number) => Promise<number>;

/** How much may run at once. */
export const LIMIT = 10;

/** Work that takes a turn. */
export async function work(i: number): Promise<number> {
  await undefined;
  return i;
}

/** Work that ends when ten run at once, and a turn later, so that an eleventh would be seen. */
export function watched(): { work: Work; most: () => number } {
  let [running, most] = [0, 0];
  let full!: () => void;
  const whenFull = new Promise<void>((resolve) => full = resolve);
  const work = async (n: number): Promise<number> => {
    most = Math.max(most, ++running);
    if (running === LIMIT) full();
    await whenFull;
    await new Promise((resolve) => setTimeout(resolve));
    running--;
    return 2 * n;
  };
  return { work, most: () => most };
}

/** `async-sema`. */
export interface SemaModule {
  Sema: new (permits: number) => { acquire(): Promise<unknown>; release(): void };
}

/** `p-limit`. */
export interface LimitModule {
  default: (limit: number) => <T>(fn: () => Promise<T>) => Promise<T>;
}
