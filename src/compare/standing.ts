import type { RacePlan, TrialResult } from './contract.ts';
import { compareResults, finalValue, hasFailed } from './ranking.ts';
import { formatValue } from './text.ts';

/**
 * What a race that ended before its finals knows, in words: every optimizer at its best rate, at the last step that most of them have reached.
 * Nothing where no trial came to an end. Pure.
 */
export function standing(plan: RacePlan, results: readonly TrialResult[]): string[] {
  const { objective, totalSteps, entries } = plan;
  const sound = results.filter((result) => result.trial.phase === 'tune' && !hasFailed(result, objective));
  const best = (step: number): TrialResult[] =>
    entries
      .flatMap(({ optimizer }) => {
        const own = sound.filter(({ trial }) => trial.optimizer === optimizer && trial.stopStep === step);
        return own.sort((a, b) => compareResults(a, b, objective)).slice(0, 1);
      })
      .sort((a, b) => compareResults(a, b, objective));
  const rungs = plan.rungs.map(({ step }) => ({ step, runs: best(step) }));
  const most = Math.max(...rungs.map(({ runs }) => runs.length));
  const at = rungs.findLast(({ runs }) => runs.length === most);
  if (at === undefined || most === 0) return [];
  const [leader, ...others] = at.runs.map((run) => `${run.trial.optimizer} with lr ${run.trial.lr} (${formatValue(finalValue(run, objective.metric))})`); // biome-ignore format: a sentence
  const behind = others.length === 0 ? '' : `; behind it ${others.join(', ')}`;
  const missing = entries.length - most;
  return [
    `So far, after ${at.step} of ${totalSteps} steps on one seed, best by ${objective.metric}: ${leader}${behind}.${missing === 0 ? '' : ` ${missing} of ${entries.length} optimizers have no result there yet.`}`,
    'That is a hint, not a comparison: no fresh seed has confirmed it.',
  ];
}
