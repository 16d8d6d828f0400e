/** Measures what importing the npm package adds to a bundle. @module */
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

/** What a bundle came to. */
export interface BundleSize {
  /** Minified and compressed by gzip, in bytes. */
  readonly gzipped: number;
  /** Minified, in bytes. */
  readonly minified: number;
  /** How many modules something was taken from. */
  readonly modules: number;
}

/**
 * Bundles a module that exports what is measured.
 *
 * @param packageFolder The built package, which the module may import by its name.
 * @param source Such as `export { AsyncLock } from "@uno/async/sync"`.
 */
export async function bundleSize(packageFolder: string, source: string): Promise<BundleSize> {
  const { outputFiles, metafile } = await build({
    // In the folder of the package its own name leads to its exports.
    stdin: { contents: source, resolveDir: packageFolder },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external: ["node:*"],
    metafile: true,
    write: false,
    outfile: "bundle.js",
    logLevel: "silent",
  });
  const { contents } = outputFiles[0]!;
  const [output] = Object.values(metafile.outputs);
  const modules = Object.values(output!.inputs).filter(({ bytesInOutput }) => bytesInOutput > 0).length;
  return { gzipped: gzipSync(contents, { level: 9 }).length, minified: contents.length, modules };
}
