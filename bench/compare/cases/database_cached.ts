/** One row by its key, read again and again, of 100 that are kept after the first time. */
import { pgDriver } from "../../../src/database/adapters/pg.ts";
import { Database } from "../../../src/database/database.ts";
import { table } from "../../../src/database/table.ts";
import { UnoDb } from "../../../src/database/uno_db.ts";
import { peer } from "../_peers.ts";
import type { Entry, Rival, Row } from "../_rows.ts";
import { drizzleOn, knexOn, kyselyOn, type PgClient, postgres, type Stored } from "./_postgres.ts";

const KEYS = 100;
/** Beyond those the server counts itself, as other rows of the comparison empty the table. */
const FIRST = 2_000_000_000;

type Get = (id: number) => Promise<Stored | undefined>;

let client: Promise<PgClient> | undefined;

/** A connection of the checks' own; the rows are there when it is. */
function prepared(): Promise<PgClient> {
  return client ??= (async () => {
    const { pg, config } = await postgres();
    const client = new pg.Client(config);
    await client.connect();
    await client.query(
      "insert into entries (id, name, size) select i, 'entry ' || i, i from generate_series($1::int, $2::int) i",
      [FIRST, FIRST + KEYS - 1],
    );
    return client;
  })();
}

function reader(name: string, make: () => Promise<Get>): Rival<Entry> {
  return {
    name,
    async make() {
      await prepared();
      const get = await make();
      return {
        waits: true,
        async check() {
          for (let round = 0; round < 2; round++) {
            for (let id = FIRST; id < FIRST + KEYS; id++) {
              const row = await get(id);
              if (row?.id !== id || row.size !== id) throw new Error(`got ${JSON.stringify(row)} for ${id}`);
            }
          }
          return get;
        },
        async run(_, size) {
          for (let i = 0; i < size; i++) await get(FIRST + i % KEYS);
        },
      };
    },
  };
}

/** In front of a reader, what users write who want its rows kept. */
function kept(name: string, make: () => Promise<Get>): Rival<Entry> {
  return reader(`lru-cache, with ${name}`, async () => {
    interface Lru {
      fetch(id: number): Promise<Stored | undefined>;
    }
    type Options = { max: number; ttl: number; fetchMethod: Get };
    const { LRUCache } = await peer<{ LRUCache: new (options: Options) => Lru }>("lru-cache");
    const lru = new LRUCache({ max: 1_000, ttl: 600_000, fetchMethod: await make() });
    return (id) => lru.fetch(id);
  });
}

async function byKysely(): Promise<Get> {
  const db = await kyselyOn(1);
  return (id) => db.selectFrom("entries").selectAll().where("id", "=", id).executeTakeFirst();
}

async function byDrizzle(): Promise<Get> {
  const { db, entries } = await drizzleOn(1);
  const { eq } = await peer<{ eq(column: unknown, value: unknown): unknown }>("drizzle-orm");
  return async (id) => (await db.select().from(entries).where(eq(entries.id, id)))[0];
}

async function byKnex(): Promise<Get> {
  const db = await knexOn(1);
  return (id) => db("entries").where({ id }).first();
}

/** Drizzle has a place for a cache, and leaves that to its users. */
async function byDrizzleCached(): Promise<Get> {
  const { Cache } = await peer<{ Cache: new () => object }>("drizzle-orm/cache/core");
  const found = new Map<string, unknown>();
  class MapCache extends Cache {
    strategy(): string {
      return "explicit";
    }
    get(key: string): Promise<unknown> {
      return Promise.resolve(found.get(key));
    }
    put(key: string, rows: unknown): Promise<void> {
      found.set(key, rows);
      return Promise.resolve();
    }
    onMutate(): Promise<void> {
      found.clear();
      return Promise.resolve();
    }
  }
  const { db, entries } = await drizzleOn(1, { cache: new MapCache() });
  const { eq } = await peer<{ eq(column: unknown, value: unknown): unknown }>("drizzle-orm");
  return async (id) => (await db.select().from(entries).where(eq(entries.id, id)).$withCache())[0];
}

const entries = table<{ id: number; name: string; size: number }, "id">("entries", {
  key: "id",
  columns: ["id", "name", "size"],
});

const CACHED = { cache: true } as const;

export const rows: readonly Row[] = [
  {
    name: "database: cached read by key, pg",
    kind: "time",
    size: 10_000,
    rivals: [
      reader("by hand, a Map", async () => {
        const client = await prepared();
        const found = new Map<number, Promise<Stored | undefined>>();
        return (id) => {
          let row = found.get(id);
          if (row === undefined) {
            row = client.query("select id, name, size from entries where id = $1", [id])
              .then(({ rows }) => rows[0] as unknown as Stored | undefined);
            found.set(id, row);
          }
          return row;
        };
      }),
      reader("@uno/async", async () => {
        const { pg, config } = await postgres();
        const uno = new UnoDb(new Database(pgDriver(pg as never, config), { max: 1 }), {
          cache: { ttlMs: 600_000 },
        });
        return (id) => uno.get(entries, id, CACHED);
      }),
      kept("kysely", byKysely),
      kept("drizzle-orm", byDrizzle),
      kept("knex", byKnex),
      reader("drizzle-orm, a Map as its cache", byDrizzleCached),
      reader("kysely, a statement a read", byKysely),
      reader("drizzle-orm, a statement a read", byDrizzle),
      reader("knex, a statement a read", byKnex),
    ],
  },
];
