export * from "./src/cancel/mod.ts";
export * from "./src/sync/mod.ts";
