import assert from "node:assert/strict";
import { cp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { doorsOf, readManifest, withConsumer } from "./_consumer.ts";

/** Ways in which projects find and understand the package. */
const projects: Record<string, ts.CompilerOptions> = {
  "nodenext": { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext },
  "node16, as ES2022": {
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    target: ts.ScriptTarget.ES2022,
  },
  "bundler": { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
  "bundler, with exact optional properties": {
    module: ts.ModuleKind.Preserve,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    exactOptionalPropertyTypes: true,
  },
};

/** What TypeScript has to say about the consumer, declarations of the package included. */
function complaints(file: string, options: ts.CompilerOptions): string[] {
  const program = ts.createProgram([file], {
    target: ts.ScriptTarget.ES2023,
    lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.asynciterable.d.ts", "lib.esnext.disposable.d.ts"],
    strict: true,
    types: [],
    noEmit: true,
    skipLibCheck: false,
    ...options,
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    return `${file?.fileName}:${line}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
  });
}

describe("the npm package, types", () => {
  for (const [name, options] of Object.entries(projects)) {
    test(
      `compile in a project with module resolution ${name}`,
      () =>
        withConsumer(async (folder) => {
          const file = join(folder, "consumer.ts");
          await cp(fileURLToPath(new URL("_fixtures/consumer.ts", import.meta.url)), file);
          assert.deepEqual(complaints(file, options), []);
        }),
    );
  }

  test(
    "lead from each door to its own declarations, and their maps to a source",
    () =>
      withConsumer(async (folder) => {
        const manifest = await readManifest();
        const inside = join(folder, "node_modules", manifest.name);
        const files = new Set((await readdir(inside, { recursive: true })).map((file) => `./${file}`));
        assert.notEqual(doorsOf(manifest).length, 0);
        for (const entry of Object.values(manifest.exports)) {
          if (typeof entry === "string") continue;
          assert.equal(entry.types.replace(/\.d\.ts$/, ""), entry.default.replace(/\.js$/, ""));
          const source = entry.types.replace("./lib/", "./").replace(/\.d\.ts$/, ".ts");
          for (
            const file of [entry.types, entry.default, `${entry.types}.map`, `${entry.default}.map`, source]
          ) {
            assert.ok(files.has(file), `${file} is not there`);
          }
        }
      }),
  );
});
