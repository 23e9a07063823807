import { closest, LockstepError } from '../errors.ts';
import type { EarlyStopping } from './job.ts';

/** Pure state of early stopping: the best value so far and how many evaluations ago it was. */
export interface StoppingState {
  readonly best: number;
  readonly bad: number;
}

export const STOPPING_START: StoppingState = { best: Number.NaN, bad: 0 };

/** After one more evaluation: the new state, and whether to stop. A NaN is no improvement. */
export function nextStopping(
  rule: Required<EarlyStopping>,
  state: StoppingState,
  value: number,
): { state: StoppingState; stop: boolean } {
  const gain = rule.mode === 'max' ? value - state.best : state.best - value;
  const better = Number.isNaN(state.best) ? !Number.isNaN(value) : gain > rule.minDelta;
  const next = better ? { best: value, bad: 0 } : { best: state.best, bad: state.bad + 1 };
  return { state: next, stop: hasStopped(rule, next) };
}

/** Whether the rule had ended a run that stood here: it is not to go on, unless with more patience. */
export function hasStopped(rule: Required<EarlyStopping>, state: StoppingState): boolean {
  return state.bad >= rule.patience;
}

/** Completes a rule with the direction of its metric; refuses a name that no evaluation reports. */
export function completeRule(
  rule: Omit<Required<EarlyStopping>, 'mode'> & Pick<EarlyStopping, 'mode'>,
  reported: ReadonlyMap<string, 'min' | 'max'>,
): Required<EarlyStopping> {
  const mode = directionOf(rule.monitor, reported, 'job.earlyStopping.monitor');
  return { ...rule, mode: rule.mode ?? mode };
}

/** The direction that is better of a reported metric; E_JOB for a name that no evaluation reports. */
export function directionOf(
  monitor: string,
  reported: ReadonlyMap<string, 'min' | 'max'>,
  where: string,
): 'min' | 'max' {
  const mode = reported.get(monitor);
  if (mode !== undefined) return mode;
  const names = [...reported.keys()];
  const guess = closest(monitor, names);
  throw new LockstepError('E_JOB', {
    where,
    expected: names.length > 0 ? `one of ${names.join(', ')}` : 'a validation split to monitor',
    got: JSON.stringify(monitor),
    fix: guess ? `did you mean ${guess}?` : 'give the job data: { validation: 0.1 } and monitor one of its metrics',
  });
}
