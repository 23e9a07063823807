// Bundles what threads load into one file each, beside the compiled modules (src/data/thread.ts). A thread shares nothing with the one that
// starts it: it reads and compiles all its modules again, 240 of them for a worker, which takes three times as long as one file does.
import { readFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { replaceFile } from './replace-file.mjs';

const dist = fileURLToPath(new URL('../dist/src/', import.meta.url));
const THREADS = [
  'parallel/worker',
  'parallel/prefetch-thread',
  'checkpoint/writer-thread',
  'data/parquet-thread',
  'scaling/core-distance-thread',
];

for (const thread of THREADS) {
  const outfile = `${dist}${thread}.bundle.js`;
  const { outputFiles } = await build({
    write: false,
    entryPoints: [`${dist}${thread}.js`],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: ['koffi', 'tsx', 'hyparquet', 'hyparquet-compressors'],
    logLevel: 'warning',
    plugins: [ownPlaces(dirname(outfile)), oneLanguage()],
  });
  for (const { path, contents } of outputFiles) replaceFile(path, contents);
}

/** A module goes on finding what lies beside its own file. */
function ownPlaces(folder) {
  return {
    name: 'own-places',
    setup({ onLoad }) {
      onLoad({ filter: /\/dist\/src\/.*\.js$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8');
        const place = `new URL(${JSON.stringify(`./${relative(folder, path)}`)}, import.meta.url).href`;
        return { contents: text.replaceAll('import.meta.url', place), loader: 'js' };
      });
    },
  };
}

/** Of zod's fifty languages English, which it begins with: half of its code. */
function oneLanguage() {
  return {
    name: 'one-language',
    setup({ onLoad }) {
      onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
        contents: "export { default as en } from './en.js';",
      }));
    },
  };
}
