import type { Objective, RacePlan, Rung, TrialResult } from './contract.ts';
import { raceSize } from './planner.ts';

/** Evaluations of a whole run; rungs stop at multiples of 1/9 and 1/3. */
const EVALUATIONS = 27;
const GRID_EXTRAS = 3;
/** A rung shorter than this says nothing about the rest. */
const SHORTEST_RUNG = 10;
/** Share of the budget that the estimate may fill: the rest is for what the estimate did not see. */
const PLANNED_SHARE = 0.85;

/** What the user decides; the rest follows. */
export interface RaceSettings {
  readonly objective: Objective;
  readonly entries: RacePlan['entries'];
  readonly totalSteps: number;
  /** Where `totalSteps` was cut from it. */
  readonly stepsOfJob?: number;
  /** Seed of the tuning; the finals take the next ones but a hundred. */
  readonly seed: number;
  readonly finalSeeds: number;
  readonly finalists: number;
}

/** The plan of a race whose whole runs have `totalSteps` steps. */
export function planRace(settings: RaceSettings): RacePlan {
  const { objective, entries, totalSteps, stepsOfJob, seed, finalists } = settings;
  const evaluateEvery = Math.max(1, Math.ceil(totalSteps / EVALUATIONS));
  return {
    objective,
    entries,
    rungs: rungsOf(totalSteps, evaluateEvery, Math.max(...entries.map(({ grid }) => grid.length))),
    totalSteps,
    ...(stepsOfJob !== undefined && { stepsOfJob }),
    evaluateEvery,
    tuningSeed: seed,
    finalSeeds: Array.from({ length: settings.finalSeeds }, (_, i) => seed + 100 + i),
    finalists,
  };
}

/** Successive halving by three (Jamieson & Talwalkar, arXiv:1502.07943): a third of the steps, and fewer rates, a rung down. */
function rungsOf(totalSteps: number, evaluateEvery: number, grid: number): Rung[] {
  const at = (share: number) => Math.min(totalSteps, evaluateEvery * Math.round(EVALUATIONS * share));
  const steps = [at(1 / 9), at(1 / 3), totalSteps].filter((step, i) => i === 2 || step >= SHORTEST_RUNG);
  const distinct = [...new Set(steps)];
  return distinct.map((step, i): Rung => {
    if (i === 0) return { step, promoted: grid, extras: GRID_EXTRAS };
    return i === distinct.length - 1 && i > 1 ? { step, promoted: 1, extras: 0 } : { step, promoted: 2, extras: 1 };
  });
}

/** What a trial costs, from the calibration. */
export interface TrialCost {
  /** Of a trial in a process that has job and rows: compiling, starting a thread. */
  readonly startSeconds: number;
  /** Reading the rows of another seed: the finals have one each. */
  readonly loadSeconds: number;
  readonly secondsPerStep: number;
  /** An evaluation, in training steps: a forward pass is about a third of a step on the same rows. */
  readonly evaluationSteps: number;
}

/** Share of a training step that the forward pass takes. */
const FORWARD_SHARE = 1 / 3;

/** Two trials of one process: the first reads the rows, the second finds them there. */
export interface Calibration {
  readonly cold: TrialResult;
  readonly warm: TrialResult;
}

/** Mean cost over the calibration's trials; undefined when none got through a step. */
export function costOf(
  calibration: readonly Calibration[],
  rows: { readonly batch: number; readonly validation: number },
): TrialCost | undefined {
  const works = ({ curve, outcome }: TrialResult) => outcome !== 'crashed' && curve.length > 0;
  const usable = calibration.filter(({ cold, warm }) => works(cold) && works(warm));
  if (usable.length === 0) return undefined;
  const mean = (of: (pair: Calibration) => number) => usable.reduce((sum, pair) => sum + of(pair), 0) / usable.length;
  const evaluationSteps = (FORWARD_SHARE * rows.validation) / rows.batch;
  const secondsPerStep = mean(({ warm }) => warm.secondsPerStep);
  /** All but training and evaluations. */
  const start = ({ wallSeconds, curve }: TrialResult) => {
    const evaluations = curve.filter(({ metrics }) => 'val.loss' in metrics).length;
    const used = curve[curve.length - 1].seconds + evaluations * evaluationSteps * secondsPerStep;
    return Math.max(0, wallSeconds - used);
  };
  return {
    secondsPerStep,
    startSeconds: mean(({ warm }) => start(warm)),
    loadSeconds: mean(({ cold, warm }) => Math.max(0, start(cold) - start(warm))),
    evaluationSteps,
  };
}

/** Wall-clock seconds that the whole race takes. */
export function estimateSeconds(plan: RacePlan, cost: TrialCost, slots: number): number {
  const { trials, steps } = raceSize(plan);
  const stepsWithEvaluations = steps * (1 + cost.evaluationSteps / plan.evaluateEvery);
  // Finals of one seed follow each other, so a process reads its rows once.
  const loads = plan.finalSeeds.length * Math.min(slots, plan.finalists, plan.entries.length);
  return (trials * cost.startSeconds + loads * cost.loadSeconds + stepsWithEvaluations * cost.secondsPerStep) / slots;
}

/**
 * The optimizers that there is time for: the first ones of `settings.entries`, at least two, whose race fits into the budget with the
 * shortest runs that make sense. Fewer optimizers that get to the finals say more than many that do not.
 */
export function fitField(settings: RaceSettings, cost: TrialCost, slots: number, budgetSeconds: number): RaceSettings {
  for (let count = settings.entries.length; count > 2; count--) {
    const fewer = { ...settings, entries: settings.entries.slice(0, count) };
    const plan = fitBudget(fewer, cost, slots, budgetSeconds);
    if (estimateSeconds(plan, cost, slots) <= PLANNED_SHARE * budgetSeconds) return fewer;
  }
  return { ...settings, entries: settings.entries.slice(0, 2) };
}

/**
 * The plan that fits into the budget: whole runs if there is time for them, else shorter ones, for all optimizers alike. Runs are
 * not cut below 30 steps, nor below what takes as long as starting them: that would save little and tell nothing. Then the
 * clock ends the race.
 */
export function fitBudget(settings: RaceSettings, cost: TrialCost, slots: number, budgetSeconds: number): RacePlan {
  const fits = (totalSteps: number) =>
    estimateSeconds(planRace({ ...settings, totalSteps }), cost, slots) <= PLANNED_SHARE * budgetSeconds;
  if (fits(settings.totalSteps)) return planRace(settings);
  const worthStarting = Math.ceil(cost.startSeconds / cost.secondsPerStep);
  let low = Math.min(settings.totalSteps, Math.max(3 * SHORTEST_RUNG, worthStarting));
  let high = settings.totalSteps;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return planRace({
    ...settings,
    totalSteps: low,
    ...(low < settings.totalSteps && { stepsOfJob: settings.totalSteps }),
  });
}
