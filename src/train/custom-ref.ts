import { LockstepError } from '../errors.ts';
import { definitionOf } from '../optim/custom.ts';
import { importApart } from '../parallel/import-module.ts';
import type { ModuleRef } from '../parallel/session.ts';

/**
 * Finds the place of custom code in the exports of the job's module, so that workers can import it: functions cannot be
 * sent to threads. Compared by identity, else by source text (a module loaded twice has other identities).
 */
export async function referTo(code: unknown, what: string, module: string | undefined): Promise<ModuleRef> {
  if (module === undefined) {
    throw new LockstepError('E_CUSTOM_CODE', {
      where: what,
      expected: 'the module that exports it, so that workers can import it',
      got: 'no module',
      fix: 'export the job from a module and pass train(job, { module: import.meta.url })',
    });
  }
  const path = await findPath(module, code);
  if (path === undefined) {
    throw new LockstepError('E_CUSTOM_CODE', {
      where: `${what} in ${module}`,
      expected: 'to find it among the exports of the module (for example in `export default defineJob(...)`)',
      got: 'no export that contains it',
      fix: 'export the job, or the custom function itself, under a name; code made inside a function cannot be found',
    });
  }
  return { module, path: path.join('.') };
}

/**
 * First among the exports as this process has them already (the same functions), then in a fresh import as workers do it
 * (the same source text, unless the loaders differ).
 */
async function findPath(module: string, code: unknown): Promise<string[] | undefined> {
  const wanted = definitionOf(code) ?? code;
  const text = fingerprint(wanted);
  const matches = (value: unknown) => {
    const candidate = definitionOf(value) ?? value;
    return candidate === wanted || (text !== undefined && fingerprint(candidate) === text);
  };
  const loaded = await import(module).catch(() => undefined); // TypeScript where no loader is registered
  return pathTo(loaded, matches, [], new Set()) ?? pathTo(await importApart(module), matches, [], new Set());
}

const MAX_DEPTH = 8;

function pathTo(
  value: unknown,
  matches: (value: unknown) => boolean,
  path: string[],
  seen: Set<unknown>,
): string[] | undefined {
  if (path.length > 0 && matches(value)) return path;
  if (typeof value !== 'object' || value === null || path.length >= MAX_DEPTH || seen.has(value)) return undefined;
  if (ArrayBuffer.isView(value)) return undefined;
  seen.add(value);
  for (const [key, child] of Object.entries(value)) {
    if (key.includes('.')) continue;
    const found = pathTo(child, matches, [...path, key], seen);
    if (found) return found;
  }
  return undefined;
}

/** Functions by their text; optimizer definitions by kind and the text of `update`. */
function fingerprint(code: unknown): string | undefined {
  if (typeof code === 'function') return code.toString();
  if (typeof code === 'object' && code !== null && 'update' in code && 'kind' in code) {
    return `${String(code.kind)}:${String(code.update)}`;
  }
  return undefined;
}
