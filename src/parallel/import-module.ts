import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { provideOwnPackage } from './own-package.ts';

export const TYPESCRIPT: readonly string[] = ['.ts', '.mts', '.cts'];

/**
 * Imports a module by URL into a thread or process that is ours: JavaScript as it is; for TypeScript tsx is registered, so that the
 * module shares this thread's copy of the package (`tsImport` would load a second one, every file through tsx: seconds).
 */
export async function importModule(url: string): Promise<Record<string, unknown>> {
  provideOwnPackage(url);
  const kind = extname(new URL(url).pathname);
  if (TYPESCRIPT.includes(kind)) await registerTypeScript();
  // As what it is: imported, what it requires would be looked for among the modules that are being imported.
  if (kind === '.cts') return createRequire(url)(fileURLToPath(url)) as Record<string, unknown>;
  return (await import(url)) as Record<string, unknown>;
}

/** The same where a loader would be noticed, as in the process of a program that calls `train`: TypeScript gets copies of all that it imports. */
export async function importApart(url: string): Promise<Record<string, unknown>> {
  if (!TYPESCRIPT.includes(extname(new URL(url).pathname))) return importModule(url);
  provideOwnPackage(url);
  const { tsImport } = await import('tsx/esm/api');
  return (await tsImport(url, import.meta.url)) as Record<string, unknown>;
}

let registered = import.meta.url.endsWith('.ts'); // running from sources: there is a loader already

/** Once in a thread: loaders pile up, and each one handles every module again. */
async function registerTypeScript(): Promise<void> {
  if (registered) return;
  registered = true;
  const [esm, cjs] = await Promise.all([import('tsx/esm/api'), import('tsx/cjs/api')]);
  cjs.register();
  esm.register();
}
