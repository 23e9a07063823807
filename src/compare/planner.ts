import type { RacePlan, Trial, TrialResult } from './contract.ts';
import { nextRate } from './learning-rates.ts';
import { compareResults, hasFailed, ranked } from './ranking.ts';

/**
 * Trials that can be run now, given what is known; trials without a result, in the order in which to start them. Empty: the race
 * is over, or what is next depends on trials under way. Pure: the same results give the same answer, whoever asks.
 */
export function nextTrials(plan: RacePlan, results: readonly TrialResult[]): Trial[] {
  const known = new Map(results.map((result) => [result.trial.id, result]));
  const tunings = plan.entries.map((_, index) => tuningOf(plan, index, known));
  const waiting = tunings.flatMap((tuning) => tuning.waiting).sort((a, b) => a.stopStep - b.stopStep);
  return [...waiting, ...finalTrials(plan, tunings).filter(({ id }) => !known.has(id))];
}

/** Where the search for a learning rate stands. */
export interface Tuning {
  readonly optimizer: string;
  /** Trials to run before it can go on; empty when it is done. */
  readonly waiting: readonly Trial[];
  /** Best result of the last rung; undefined while it is under way, and where every rate failed. */
  readonly winner: TrialResult | undefined;
  readonly results: readonly TrialResult[];
}

/** Replays the search of one optimizer on what is known. */
export function tuningOf(plan: RacePlan, entry: number, known: ReadonlyMap<string, TrialResult>): Tuning {
  const { optimizer, grid } = plan.entries[entry];
  const { objective } = plan;
  const all: TrialResult[] = [];
  const done = (winner?: TrialResult): Tuning => ({ optimizer, waiting: [], winner, results: all });
  const waitFor = (waiting: readonly Trial[]): Tuning => ({ optimizer, waiting, winner: undefined, results: all });
  let rates: readonly number[] = grid;
  const tested = new Set<number>(grid);
  let rung: TrialResult[] = [];
  for (const [index, { step, promoted, extras }] of plan.rungs.entries()) {
    if (index > 0) {
      const alive = ranked(rung, objective).filter((result) => !hasFailed(result, objective));
      rates = alive.slice(0, promoted).map(({ trial }) => trial.lr);
    }
    if (rates.length === 0) return done();
    const first = rates.map((lr) => trialOf(plan, 'tune', optimizer, lr, plan.tuningSeed, step));
    rung = first.flatMap(({ id }) => known.get(id) ?? []);
    all.push(...rung);
    if (rung.length < first.length) return waitFor(first.filter(({ id }) => !known.has(id)));
    for (let extra = 0; extra < extras; extra++) {
      const lr = nextRate([...tested], rung, objective);
      if (lr === undefined) break;
      tested.add(lr);
      const trial = trialOf(plan, 'tune', optimizer, lr, plan.tuningSeed, step);
      const result = known.get(trial.id);
      if (!result) return waitFor([trial]);
      rung.push(result);
      all.push(result);
    }
  }
  return done(ranked(rung, objective).find((result) => !hasFailed(result, objective)));
}

/** Winners of the tuning that run on fresh seeds; known before the end where all can get there. */
export function finalistsOf(plan: RacePlan, tunings: readonly Tuning[]): TrialResult[] {
  const allMayGo = plan.entries.length <= plan.finalists;
  if (!allMayGo && tunings.some(({ waiting }) => waiting.length > 0)) return [];
  return tunings
    .flatMap(({ winner }) => winner ?? [])
    .sort((a, b) => compareResults(a, b, plan.objective))
    .slice(0, plan.finalists);
}

/** Seed by seed, so that a race that is cut short leaves whole pairs. */
function finalTrials(plan: RacePlan, tunings: readonly Tuning[]): Trial[] {
  const finalists = finalistsOf(plan, tunings);
  return plan.finalSeeds.flatMap((seed) =>
    finalists.map(({ trial }) => trialOf(plan, 'final', trial.optimizer, trial.lr, seed, plan.totalSteps)),
  );
}

/** How many trials of how many steps the whole race takes at most. */
export function raceSize(plan: RacePlan): { trials: number; steps: number } {
  const { entries, rungs, finalSeeds, totalSteps } = plan;
  const finals = Math.min(plan.finalists, entries.length) * finalSeeds.length;
  let trials = finals;
  let steps = finals * totalSteps;
  for (const { grid } of entries) {
    for (const [index, { step, promoted, extras }] of rungs.entries()) {
      const count = (index === 0 ? grid.length : promoted) + extras;
      trials += count;
      steps += count * step;
    }
  }
  return { trials, steps };
}

export function trialOf(
  { totalSteps, stepsOfJob, evaluateEvery }: Pick<RacePlan, 'totalSteps' | 'stepsOfJob' | 'evaluateEvery'>,
  phase: Trial['phase'],
  optimizer: string,
  lr: number,
  seed: number,
  stopStep: number,
): Trial {
  const id = `${phase}/${optimizer}/${lr}/seed${seed}/${stopStep}of${totalSteps}`;
  const cut = stepsOfJob === undefined ? {} : { stepsOfJob };
  return { id, phase, optimizer, lr, seed, stopStep, totalSteps, ...cut, evaluateEvery };
}
