import { LockstepError } from '../errors.ts';
import type { OptimizerDef, OptimizerDescription, ScheduleDescription } from './contract.ts';
import { show } from './options.ts';

/** A constant learning rate > 0, or a schedule such as `warmupCosine({ peak: 1e-3, warmupSteps: 100 })`. */
export type LearningRate = number | ScheduleDescription;

/**
 * Plain data that names `def` and carries the options as given; `resolveOptimizer` validates them and fills in defaults.
 * Only what would vanish without a trace is refused here: options that are no object, and a learning rate that is nowhere.
 */
export function describe(
  def: Pick<OptimizerDef, 'kind' | 'defaultLr'>,
  options: { readonly lr?: LearningRate } = {},
): OptimizerDescription {
  if (typeof options !== 'object' || options === null) {
    throw new LockstepError('E_OPTION', {
      where: `${def.kind}(...)`,
      expected: 'an object with options',
      got: show(options),
      fix: `write ${def.kind}({ lr: 0.01 })`,
    });
  }
  const lr = options.lr ?? def.defaultLr;
  if (lr === undefined) throw missingLearningRate(def.kind);
  const given = Object.entries(options).filter(([name, value]) => name !== 'lr' && value !== undefined);
  return { kind: def.kind, lr, ...Object.fromEntries(given) };
}

export function missingLearningRate(kind: string): LockstepError {
  return new LockstepError('E_OPTION', {
    where: 'optimizer.lr',
    expected: 'a learning rate: a number > 0 or a schedule',
    got: 'nothing',
    fix: `${kind} has no default; give one, as in ${kind}({ lr: 0.01 })`,
  });
}
