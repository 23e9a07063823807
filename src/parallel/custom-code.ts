import type { ComputedRead } from '../data/contract.ts';
import { LockstepError } from '../errors.ts';
import { resolveOptimizer } from '../optim/catalogue.ts';
import { definitionAt } from '../optim/custom.ts';
import { importModule } from './import-module.ts';
import type { ModuleRef, Session, SplitName } from './session.ts';
import type { CustomCode } from './worker-state.ts';

/** Whether workers import modules of the user, which import this package. */
export const hasCustomCode = ({ splits, customOptimizer }: Session): boolean =>
  customOptimizer !== undefined || Object.values(splits).some((split) => split?.kind === 'computed');

/** Imports what the session names by module and path; everything else is plain data already. */
export async function importCustomCode(session: Session): Promise<CustomCode> {
  const reads: Partial<Record<SplitName, ComputedRead>> = {};
  for (const name of ['train', 'val', 'test'] as const) {
    const split = session.splits[name];
    if (split?.kind === 'computed') reads[name] = (await importValue(split.read)) as ComputedRead;
  }
  const ref = session.customOptimizer;
  const custom = ref && definitionAt(await importModule(ref.module), ref.path);
  return { reads, optimizer: resolveOptimizer(session.optimizer, custom) };
}

/** The value at `path` of a module's exports. */
async function importValue(ref: ModuleRef): Promise<unknown> {
  const exports = await importModule(ref.module);
  const value = valueAt(exports, ref.path) ?? valueAt(exports.default, ref.path); // CommonJS nests what ESM does not
  if (value === undefined) {
    throw new LockstepError('E_CUSTOM_CODE', {
      where: ref.module,
      expected: `custom code at export ${ref.path}`,
      got: 'nothing there',
      fix: 'export the job (or the custom definition) from this module under the same name in every thread',
    });
  }
  return value;
}

function valueAt(root: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), root);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return (typeof value === 'object' || typeof value === 'function') && value !== null;
}
