/** Databases of PGlite for tests. */
import { PGlite } from "@electric-sql/pglite";
import type { Driver } from "../../src/database/mod.ts";
import { pgliteDriver } from "../../src/database/adapters/pglite.ts";

let made: Promise<Blob | File> | undefined;

/** The files of an empty database: to begin with them takes a quarter of the time that making them takes. */
function emptyFiles(): Promise<Blob | File> {
  return made ??= (async () => {
    const engine = new PGlite();
    await engine.waitReady;
    try {
      return await engine.dumpDataDir("none");
    } finally {
      await engine.close();
    }
  })();
}

/** A driver whose every connection is an empty database. */
export async function pgliteForTests(): Promise<Driver> {
  return pgliteDriver(PGlite, { loadDataDir: await emptyFiles() });
}
