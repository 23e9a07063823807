import type { JobReport, OptimizerReport } from './report.ts';
import { formatBytes, formatPercent, formatSeconds, formatValue } from './text.ts';

/** Columns of the table of measures, on the page and in the terminal. */
export const MEASURE_COLUMNS = [
  'optimizer',
  'lr',
  'result',
  'training',
  'gap',
  'steps to target',
  'seconds to target',
  'missed',
  'step',
  'state',
  'lr width',
  'diverged',
] as const;

/** A row of the table of measures; the terminal prints the same. Without a target nobody has missed it. */
export function measureRow(one: OptimizerReport, { objective }: JobReport): string[] {
  const { measures: m, sensitivity: s } = one;
  const toTarget = objective.target === undefined ? { steps: Number.NaN, seconds: Number.NaN } : m.toTarget;
  const width = s === undefined ? '-' : `${s.open ? '≥ ' : ''}${s.decades.toFixed(1)}`;
  return [
    one.optimizer,
    one.lr === undefined ? '-' : `${one.lr}${one.onBorder ? ' (border)' : ''}`,
    formatValue(m.value),
    formatValue(m.trainValue),
    formatValue(m.gap),
    formatValue(toTarget.steps),
    formatSeconds(toTarget.seconds),
    m.seeds === 0 ? '-' : `${m.missed} of ${m.seeds}`,
    formatSeconds(m.secondsPerStep),
    formatBytes(one.stateBytes),
    width,
    formatPercent(m.divergenceRate),
  ];
}

/** What the columns mean. */
export function measuresNote(job: JobReport): string {
  const { metric, mode, target } = job.objective;
  const source = job.targetGiven ? 'as asked for' : 'what the weakest finalist reaches in more than half of its runs';
  const of =
    target === undefined
      ? 'none, for no final was run'
      : `${metric} ${mode === 'max' ? '≥' : '≤'} ${formatValue(target)} (${source})`;
  return (
    `Result and training: final ${metric} on validation and on training rows, medians over the seeds of the finals; ` +
    `optimizers that are no finalists: their best tuned run. Gap: validation loss minus training loss. Target: ${of}; ` +
    'seconds are those of training steps alone. State: memory of the optimizer. ' +
    'Lr width: decades within 5 % of the best. Diverged: share of all its trials.'
  );
}

/** How the race went, a sentence a fact. */
export function runFacts(job: JobReport): string[] {
  const { run, cores, ended } = job;
  const length =
    run.steps < run.stepsOfJob
      ? `Runs of ${run.steps} steps: the budget had no room for the ${run.stepsOfJob} steps of the job.`
      : `Runs of ${run.steps} steps, as the job has.`;
  const stop = { complete: '', budget: ' The budget ended the race.', aborted: ' The race was stopped.' }[ended];
  return [
    `${length} Batches of ${run.batchSize} rows, ${run.parameters} parameters.`,
    `Tuned with seed ${run.tuningSeed}, finals with seeds ${run.finalSeeds.join(', ')}.${stop}`,
    `${cores.trials} trials in ${formatSeconds(cores.seconds)}, ${cores.slots} at a time: a trial was under way ${formatPercent(cores.occupied)} of the time, and the trials used ${formatPercent(cores.cpu)} of the cores.`,
    ...job.notes,
  ];
}

/** Who took no part, and why: a line for each reason, since most share one. */
export function absences(job: JobReport): { readonly optimizers: readonly string[]; readonly reason: string }[] {
  const byReason = new Map<string, string[]>();
  for (const { optimizer, reason } of job.left) byReason.set(reason, [...(byReason.get(reason) ?? []), optimizer]);
  return [...byReason].map(([reason, optimizers]) => ({ reason, optimizers }));
}
