import type { CurvePoint, Objective, TrialResult } from './contract.ts';

/** The first evaluation that meets the target; undefined where none does or there is no target. */
export function pointAtTarget({ curve }: TrialResult, { metric, mode, target }: Objective): CurvePoint | undefined {
  if (target === undefined) return undefined;
  return curve.find(({ metrics }) => (mode === 'max' ? metrics[metric] >= target : metrics[metric] <= target));
}

/** Value of a metric at the end of the run, NaN where it failed or was not evaluated. */
export function finalValue({ outcome, curve }: TrialResult, metric: string): number {
  const last = curve.at(-1);
  return outcome === 'finished' && last !== undefined ? (last.metrics[metric] ?? Number.NaN) : Number.NaN;
}

/** No result to go on with: it diverged, crashed, or its value is no number. */
export function hasFailed(result: TrialResult, { metric }: Objective): boolean {
  return Number.isNaN(finalValue(result, metric));
}

/**
 * Negative where `a` is better: what failed is last; sooner at the target; the better final value; the lower validation loss.
 * Between failures the lower learning rate is better, because a rate that is too high is the usual cause.
 */
export function compareResults(a: TrialResult, b: TrialResult, objective: Objective): number {
  const [failedA, failedB] = [hasFailed(a, objective), hasFailed(b, objective)];
  if (failedA || failedB) return Number(failedA) - Number(failedB) || a.trial.lr - b.trial.lr;
  const sign = objective.mode === 'max' ? -1 : 1;
  return (
    order(stepsToTarget(a, objective), stepsToTarget(b, objective)) ||
    sign * order(finalValue(a, objective.metric), finalValue(b, objective.metric)) ||
    order(finalValue(a, 'val.loss'), finalValue(b, 'val.loss')) ||
    a.trial.lr - b.trial.lr
  );
}

/** Best first. */
export function ranked(results: readonly TrialResult[], objective: Objective): TrialResult[] {
  return [...results].sort((a, b) => compareResults(a, b, objective));
}

/** Infinity where the target was missed or there is none. */
export function stepsToTarget(result: TrialResult, objective: Objective): number {
  return pointAtTarget(result, objective)?.step ?? Number.POSITIVE_INFINITY;
}

function order(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
