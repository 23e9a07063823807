import { LockstepError } from '../errors.ts';
import type { Compat, OptimizerDef, OptimizerDescription, ScheduleDescription } from './contract.ts';
import { show } from './options.ts';

/** A constant learning rate > 0, or a schedule such as `warmupCosine({ peak: 1e-3, warmupSteps: 100 })`. */
export type LearningRate = number | ScheduleDescription;

/** Parameters with settings of their own. Of several groups that match a name the first counts. */
export interface ParameterGroup {
  /**
   * Names of parameters: 'bias' = the last part of the name, with `*` for anything where there is one ('encoder/*', '*norm*'),
   * or a regular expression between slashes ('/layer[0-3]/').
   */
  readonly match: string;
  /** Multiplies the learning rate, > 0. Default 1. */
  readonly lrScale?: number;
  /** Instead of the optimizer's, >= 0. */
  readonly weightDecay?: number;
  /** true: these parameters stay as they are, and their gradients count for nothing. Default false. */
  readonly freeze?: boolean;
}

/** Options that every optimizer has. */
export interface CommonOptions {
  readonly groups?: readonly ParameterGroup[];
  /** Names (as in `match`) of parameters that weight decay leaves alone, such as ['bias']. */
  readonly noDecay?: readonly string[];
  /** Takes over a framework's conventions and defaults, where they differ from ours; own options still win. */
  readonly compat?: Compat;
}

/**
 * Plain data that names `def` and carries the options as given; `resolveOptimizer` validates them and fills in defaults.
 * Only what would vanish without a trace is refused here: options that are no object, and a learning rate that is nowhere.
 */
export function describe(
  def: Pick<OptimizerDef, 'kind' | 'defaultLr' | 'compat'>,
  options: { readonly lr?: LearningRate; readonly compat?: Compat } = {},
): OptimizerDescription {
  if (typeof options !== 'object' || options === null) {
    throw new LockstepError('E_OPTION', {
      where: `${def.kind}(...)`,
      expected: 'an object with options',
      got: show(options),
      fix: `write ${def.kind}({ lr: 0.01 })`,
    });
  }
  const lr = options.lr ?? defaultLr(def, options.compat);
  if (lr === undefined) throw missingLearningRate(def.kind);
  const given = Object.entries(options).filter(([name, value]) => name !== 'lr' && value !== undefined);
  return { kind: def.kind, lr, ...Object.fromEntries(given) };
}

/** The framework's where `compat` names one that has its own, else the definition's. */
export function defaultLr(def: Pick<OptimizerDef, 'defaultLr' | 'compat'>, compat: unknown): number | undefined {
  const framework = typeof compat === 'string' && Object.entries(def.compat ?? {}).find(([name]) => name === compat);
  const lr = framework ? framework[1].lr : undefined;
  return typeof lr === 'number' ? lr : def.defaultLr;
}

export function missingLearningRate(kind: string): LockstepError {
  return new LockstepError('E_OPTION', {
    where: 'optimizer.lr',
    expected: 'a learning rate: a number > 0 or a schedule',
    got: 'nothing',
    fix: `${kind} has no default; give one, as in ${kind}({ lr: 0.01 })`,
  });
}
