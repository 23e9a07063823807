import { LockstepError } from '../errors.ts';

/**
 * A package that is not installed with lockstep (an optional peer). `load` imports it.
 *
 * @throws E_DATA_MISSING with the command that installs it.
 */
export async function optionalPackage<T>(load: () => Promise<T>, packages: string, purpose: string): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const code: unknown = cause instanceof Error ? Reflect.get(cause, 'code') : undefined;
    const absent = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
    throw new LockstepError('E_DATA_MISSING', {
      where: purpose,
      expected: `the package ${packages.split(' ')[0]}, which lockstep does not install by itself`,
      got: absent ? 'none' : `one that does not load (${cause instanceof Error ? cause.message : String(cause)})`,
      fix: `run: npm install ${packages}`,
      cause,
    });
  }
}
