import { availableParallelism } from 'node:os';
import { LockstepError } from '../errors.ts';

/** Most threads one node may run; each needs its own regions of the arena. */
const MAX_WORKERS = 256;

/** 'auto' = the cores this process may use. */
export function resolveWorkers(workers: number | 'auto' = 'auto'): number {
  if (workers === 'auto') return availableParallelism();
  if (Number.isInteger(workers) && workers >= 1 && workers <= MAX_WORKERS) return workers;
  throw new LockstepError('E_OPTION', {
    where: 'option workers',
    expected: `'auto' or a whole number from 1 to ${MAX_WORKERS}`,
    got: String(workers),
    fix: 'leave it out to use all cores',
  });
}
