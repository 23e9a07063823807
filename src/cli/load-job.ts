import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { closest, LockstepError } from '../errors.ts';
import { importModule, TYPESCRIPT } from '../parallel/import-module.ts';
import type { Job } from '../train/job.ts';

export interface LoadedJob {
  readonly job: Job;
  /** URL of its module, for `train(job, { module })`. */
  readonly module: string;
}

const EXTENSIONS = [...TYPESCRIPT, '.js', '.mjs', '.cjs'];
/** What makes an object a job rather than something else that a module exports. */
const JOB_FIELDS = ['data', 'model', 'loss', 'optimizer'];

/**
 * Imports a job module and finds its job: the default export, else the export named `job`; a job, or a function (sync or
 * async) that returns one. Anything else is E_JOB_LOAD, with file, line and column where they are known.
 */
export async function loadJob(path: string): Promise<LoadedJob> {
  const file = resolve(path);
  checkFile(path, file);
  const module = pathToFileURL(file).href;
  let exports: object;
  try {
    exports = unwrap(await importModule(module));
  } catch (error) {
    throw loadError(file, error);
  }
  const candidate = exportedJob(exports);
  let job: unknown;
  try {
    job = typeof candidate === 'function' ? await candidate() : candidate;
  } catch (error) {
    throw loadError(file, error);
  }
  if (isJob(job)) return { job, module };
  const names = Object.keys(exports).filter((name) => name !== 'module.exports' && name !== '__esModule');
  throw new LockstepError('E_JOB_LOAD', {
    where: file,
    expected: 'a default export (or an export named job) that is a job or a function returning one',
    got: names.length === 0 ? 'no exports' : `${names.join(', ')} (${describe(job)})`,
    fix: 'export default defineJob({ data, model, loss, optimizer, ... })',
  });
}

function checkFile(path: string, file: string): void {
  if (!existsSync(file)) {
    const folder = dirname(file);
    const neighbours = existsSync(folder) && statSync(folder).isDirectory() ? readdirSync(folder) : [];
    const near = closest(
      basename(file),
      neighbours.filter((name) => EXTENSIONS.includes(extname(name))),
    );
    throw new LockstepError('E_JOB_LOAD', {
      where: path,
      expected: 'a job module',
      got: `no such file in ${folder}`,
      fix: near === undefined ? 'check the path' : `did you mean "${near}"?`,
    });
  }
  if (EXTENSIONS.includes(extname(file)) && statSync(file).isFile()) return;
  throw new LockstepError('E_JOB_LOAD', {
    where: path,
    expected: `a module (${EXTENSIONS.join(', ')})`,
    got: statSync(file).isDirectory() ? 'a folder' : `a file that ends in "${extname(file)}"`,
    fix: 'name the file that exports the job',
  });
}

/** The default export, else the one named `job`. */
function exportedJob(exports: object): unknown {
  const main = own(exports, 'default');
  if (main === undefined) return own(exports, 'job');
  // `exports.job = ...` of a commonjs module is a property of its default export.
  return isJob(main) ? main : (own(main, 'job') ?? main);
}

/** In commonjs packages the exports of an ES module arrive as the default export of another, or of two. */
function unwrap(exports: object): object {
  let scope = exports;
  for (let depth = 0; depth < 3; depth++) {
    const inner = own(scope, 'default');
    if (typeof inner !== 'object' || inner === null || own(inner, '__esModule') !== true) break;
    scope = inner;
  }
  return scope;
}

function own(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
}

/** Rough on purpose: `train` checks every field and says which one is wrong. */
function isJob(value: unknown): value is Job {
  return typeof value === 'object' && value !== null && JOB_FIELDS.some((field) => Object.hasOwn(value, field));
}

function describe(value: unknown): string {
  if (value === undefined) return 'none of them a job';
  if (value === null || typeof value !== 'object') return `the job is ${value === null ? 'null' : `a ${typeof value}`}`;
  return `the job has none of ${JOB_FIELDS.join(', ')}`;
}

/** What the module threw: our own errors pass, others become E_JOB_LOAD with the place. */
function loadError(file: string, error: unknown): unknown {
  if (isLockstepError(error)) return error;
  const { message, place } = explain(file, error);
  return new LockstepError('E_JOB_LOAD', {
    where: place === undefined ? file : `${file}:${place}`,
    expected: 'a module that loads',
    got: message,
    fix: fixFor(message),
    cause: error,
  });
}

/** By form: the job may have thrown the error class of another copy of this package. */
export function isLockstepError(error: unknown): error is LockstepError {
  return (
    error instanceof LockstepError || (error instanceof Error && error.name === 'LockstepError' && 'code' in error)
  );
}

/** First line of what went wrong, and `line:column` in the job file where the error tells. */
function explain(file: string, error: unknown): { message: string; place: string | undefined } {
  const text = error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error);
  const name = error instanceof Error && error.name !== 'Error' ? `${error.name}: ` : '';
  const lines = (error instanceof Error ? error.message : text).split('\n').filter((line) => line.trim() !== '');
  // esbuild: "Transform failed with 1 error:" and then "file:line:column: ERROR: what".
  const transform = /^(?<at>.*):(?<line>\d+):(?<column>\d+): ERROR: (?<what>.*)$/m.exec(text);
  if (transform?.groups) {
    const { at, line, column, what } = transform.groups;
    const inJob = at.endsWith(basename(file));
    return {
      message: inJob ? what : `${what} (${at}:${line}:${column})`,
      place: inJob ? `${line}:${column}` : undefined,
    };
  }
  const place = placeIn(file, error instanceof SyntaxError ? checkSyntax(file) : text);
  return { message: `${name}${lines[0] ?? 'an error without a message'}`, place };
}

/** V8 tells the place of a syntax error only to whoever prints it: `node --check` does. */
function checkSyntax(file: string): string {
  return spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' }).stderr ?? '';
}

/** `line:column` of the first mention of the file: a stack frame, or the head that V8 puts on syntax errors. */
function placeIn(file: string, text: string): string | undefined {
  for (const name of [pathToFileURL(file).href, file]) {
    let from = text.indexOf(name);
    while (from >= 0) {
      const place = /^(?:\?[^:\s)]*)?:(\d+(?::\d+)?)/.exec(text.slice(from + name.length));
      if (place) return place[1];
      from = text.indexOf(name, from + 1);
    }
  }
  return undefined;
}

function fixFor(message: string): string {
  const missing = /Cannot find (?:package|module) '([^']+)'/.exec(message)?.[1];
  if (missing === undefined) return 'correct the module; --verbose shows the stack';
  if (missing === 'lockstep' || missing.startsWith('lockstep/'))
    return 'install lockstep where the job is: npm install lockstep';
  if (missing.startsWith('.') || missing.startsWith('/')) return 'check the path of the import and its extension';
  return `npm install ${missing}, or correct the import`;
}
