import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** The files of the page, as they are sent: written by hand, without a build; uPlot comes from its package. */
const OWN = [
  'index.html',
  'style.css',
  'main.js',
  'store.js',
  'stream.js',
  'shared.js',
  'charts.js',
  'timeline.js',
  'panels.js',
  'format.js',
] as const;

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
};

export interface PageFile {
  readonly type: string;
  readonly body: Buffer;
}

/** By path; read when the page is opened. */
export function pageFiles(): ReadonlyMap<string, PageFile> {
  const require = createRequire(import.meta.url);
  const files = new Map<string, PageFile>();
  const add = (path: string, file: string | URL) => {
    const type = TYPES[path.slice(path.lastIndexOf('.') + 1)];
    files.set(path, { type, body: readFileSync(file) });
  };
  for (const name of OWN) add(`/${name}`, new URL(`./page/${name}`, import.meta.url));
  add('/uplot.js', require.resolve('uplot/dist/uPlot.esm.js'));
  add('/uplot.css', require.resolve('uplot/dist/uPlot.min.css'));
  return files;
}
