import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vitest/config';

const root = fileURLToPath(new URL('../..', import.meta.url));
const SOURCE = /^(src|cluster|test\/fixtures)\/.*\.ts$/;

/** Of a source file or fixture its path in dist; undefined for any other. */
function builtFile(path: string): string | undefined {
  if (!path.startsWith(root)) return undefined;
  const file = path.slice(root.length);
  return SOURCE.test(file) ? `${root}dist/${file.replace(/\.ts$/, '.js')}` : undefined;
}

/**
 * What tests import of the sources and fixtures is what was built of them (build.ts), as Node loads it. So the threads and processes that the
 * library starts are those that users have, and none waits for TypeScript to be transformed.
 */
export const built: Plugin = {
  name: 'lockstep-built',
  enforce: 'pre',
  async resolveId(source, importer, options) {
    if (!source.endsWith('.ts')) return null;
    const found = await this.resolve(source, importer, { ...options, skipSelf: true });
    const file = found && builtFile(found.id);
    return file ? { id: file, external: true } : found;
  },
};
