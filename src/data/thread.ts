import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** URL of the file `name` beside `base`, an import.meta.url, with all that it imports in one file: made by scripts/bundle-threads.mjs. */
export const bundled = (name: string, base: string): URL => new URL(`./${name}.bundle.js`, base);

/**
 * A thread that runs the file `name` (without extension) beside `base`, an import.meta.url: bundled once built; in a checkout
 * `.ts`, through tsx's own import, because Node 20 opens a thread's file before a loader given by `--import` is ready.
 */
export function startThread(name: string, base: string, options: WorkerOptions): Worker {
  if (!base.endsWith('.ts')) return new Worker(bundled(name, base), options);
  const file = new URL(`./${name}.ts`, base).href;
  // By file: `require.resolve` would find the CommonJS half, which has no tsImport of its own.
  const tsx = new URL('./dist/esm/api/index.mjs', pathToFileURL(createRequire(base).resolve('tsx/package.json'))).href;
  const code = `import(${JSON.stringify(tsx)}).then((tsx) => tsx.tsImport(${JSON.stringify(file)}, ${JSON.stringify(base)}))`;
  return new Worker(code, { ...options, eval: true, execArgv: ['--conditions=lockstep-source'] });
}
