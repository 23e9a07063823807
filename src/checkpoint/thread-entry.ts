import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

/** How to start a thread from a file of this package. */
export interface ThreadEntry {
  readonly url: URL;
  readonly execArgv: string[] | undefined;
}

/**
 * The file `name` (without extension) beside `base`, an import.meta.url: `.ts` in a checkout, where threads load it through
 * tsx, `.js` once built. tsx is named by absolute URL because threads resolve `--import` from the current folder.
 */
export function threadEntry(name: string, base: string): ThreadEntry {
  const typescript = base.endsWith('.ts');
  const url = new URL(`./${name}${typescript ? '.ts' : '.js'}`, base);
  if (!typescript) return { url, execArgv: undefined };
  const tsx = pathToFileURL(createRequire(base).resolve('tsx')).href;
  return { url, execArgv: ['--conditions=lockstep-source', '--import', tsx] };
}
