import type { Objective, RacePlan, TrialResult } from './contract.ts';
import { onBorder } from './learning-rates.ts';
import type { Tuning } from './planner.ts';
import { finalValue, hasFailed, pointAtTarget } from './ranking.ts';
import { median } from './statistics.ts';

/** How far from the best still counts as good, for the learning-rate sensitivity. */
const TOLERANCE = 0.05;

/** How much the learning rate may be off. */
export interface Sensitivity {
  /** log10(high / low). */
  readonly decades: number;
  readonly low: number;
  readonly high: number;
  /** A border of what was tried is still good: the width is at least this. */
  readonly open: boolean;
  /** All rates were compared at this step. */
  readonly step: number;
}

/** What the runs of one optimizer at its best rate show; medians over the runs. */
export interface Measures {
  /** Seeds in the finals; 0: the numbers are those of the tuning's best run. */
  readonly seeds: number;
  /** Final value of the objective's metric, on validation and in training (NaN where training does not report it). */
  readonly value: number;
  readonly trainValue: number;
  readonly validationLoss: number;
  readonly trainLoss: number;
  /** Validation loss minus training loss, at the end. */
  readonly gap: number;
  /** To the target; Infinity where half of the runs missed it, or more. */
  readonly toTarget: { readonly steps: number; readonly samples: number; readonly seconds: number };
  /** Runs that missed the target. */
  readonly missed: number;
  readonly secondsPerStep: number;
  /** Of all its trials, tuning included. */
  readonly divergenceRate: number;
  readonly crashed: number;
  readonly trials: number;
}

/** Rates within 5 % of the best, interpolated on the log scale where the border lies between two rates. */
export function sensitivityOf(plan: RacePlan, { results }: Tuning): Sensitivity | undefined {
  const { metric, mode } = plan.objective;
  const step = plan.rungs[0].step;
  const points = results
    .filter(({ trial }) => trial.stopStep === step)
    .map((result) => ({ lr: result.trial.lr, value: finalValue(result, metric) }))
    .sort((a, b) => a.lr - b.lr);
  const good = points.filter(({ value }) => !Number.isNaN(value));
  if (good.length === 0) return undefined;
  const best = good.reduce((a, b) => ((mode === 'max' ? b.value > a.value : b.value < a.value) ? b : a));
  const limit = best.value + (mode === 'max' ? -1 : 1) * TOLERANCE * Math.abs(best.value);
  const within = (value: number) => (mode === 'max' ? value >= limit : value <= limit);
  const at = points.indexOf(best);
  const edge = (direction: 1 | -1): { lr: number; open: boolean } => {
    let i = at;
    while (points[i + direction] !== undefined && within(points[i + direction].value)) i += direction;
    const inside = points[i];
    const outside = points[i + direction];
    if (outside === undefined) return { lr: inside.lr, open: true };
    // A rate that failed tells nothing about where between the two it begins to: the middle.
    const share = Number.isNaN(outside.value) ? 0.5 : (inside.value - limit) / (inside.value - outside.value);
    return { lr: inside.lr * (outside.lr / inside.lr) ** share, open: false };
  };
  const [low, high] = [edge(-1), edge(1)];
  return { decades: Math.log10(high.lr / low.lr), low: low.lr, high: high.lr, open: low.open || high.open, step };
}

/** Measures of one optimizer. `objective` carries the target, given or found later. */
export function measuresOf(tuning: Tuning, finals: readonly TrialResult[], objective: Objective): Measures {
  const runs = finals.length > 0 ? finals : tuning.winner ? [tuning.winner] : [];
  const all = [...tuning.results, ...finals];
  const middle = (of: (run: TrialResult) => number) => median(runs.map(of));
  const lastOf = (run: TrialResult) => (hasFailed(run, objective) ? undefined : run.curve.at(-1));
  const training = objective.metric.replace(/^val\./, '');
  const trainLoss = (run: TrialResult) => lastOf(run)?.loss ?? Number.POSITIVE_INFINITY;
  const validationLoss = (run: TrialResult) => worstIfNaN(finalValue(run, 'val.loss'), 'min');
  const reached = (of: 'step' | 'samples' | 'seconds') => (run: TrialResult) =>
    pointAtTarget(run, objective)?.[of] ?? Number.POSITIVE_INFINITY;
  return {
    seeds: finals.length,
    value: middle((run) => worstIfNaN(finalValue(run, objective.metric), objective.mode)),
    trainValue: middle((run) => (training === 'loss' ? trainLoss(run) : finalValue(run, training))),
    validationLoss: middle(validationLoss),
    trainLoss: middle(trainLoss),
    gap: median(runs.filter((run) => lastOf(run)).map((run) => validationLoss(run) - trainLoss(run))),
    toTarget: {
      steps: middle(reached('step')),
      samples: middle(reached('samples')),
      seconds: middle(reached('seconds')),
    },
    missed: objective.target === undefined ? 0 : runs.filter((run) => !pointAtTarget(run, objective)).length,
    secondsPerStep: median(all.map((run) => run.secondsPerStep).filter(Number.isFinite)),
    divergenceRate: all.length === 0 ? Number.NaN : all.filter((r) => r.outcome === 'diverged').length / all.length,
    crashed: all.filter(({ outcome }) => outcome === 'crashed').length,
    trials: all.length,
  };
}

/** A failed run is the worst there can be, not a gap in the data. */
export function worstIfNaN(value: number, mode: 'min' | 'max'): number {
  if (!Number.isNaN(value)) return value;
  return mode === 'max' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Whether the best rate still lies on the border of all that were tried. */
export function winnerOnBorder({ winner, results }: Tuning): boolean {
  const rates = results.map(({ trial }) => trial.lr);
  return winner !== undefined && onBorder(winner.trial.lr, rates);
}

/**
 * The target where the user gave none: what the weakest finalist reaches in more than half of its runs, so that the median of the
 * time to it says something about all of them.
 */
export function commonTarget(
  finals: ReadonlyMap<string, readonly TrialResult[]>,
  objective: Objective,
): number | undefined {
  const values = [...finals.values()]
    .map((runs) => runs.map((run) => worstIfNaN(finalValue(run, objective.metric), objective.mode)))
    .map((own) => own.sort((a, b) => (objective.mode === 'max' ? b - a : a - b))[own.length >> 1] ?? Number.NaN)
    .filter(Number.isFinite);
  if (values.length === 0) return undefined;
  return objective.mode === 'max' ? Math.min(...values) : Math.max(...values);
}
