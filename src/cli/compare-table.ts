import { absences, MEASURE_COLUMNS, measureRow, measuresNote, runFacts } from '../compare/describe.ts';
import type { JobReport, Report } from '../compare/report.ts';
import { formatValue } from '../compare/text.ts';
import { formatTable } from './format.ts';

/** A comparison for the terminal. Pure. */
export function renderComparison(report: Report): string[] {
  const jobs = report.jobs.flatMap((job) => [...renderJob(job), '']);
  if (!report.profiles) return jobs.slice(0, -1);
  const rows = report.profiles.map(({ optimizer, score, ratios }) => [
    optimizer,
    score.toFixed(3),
    ...ratios.map((ratio) => (Number.isFinite(ratio) ? ratio.toFixed(2) : 'never')),
  ]);
  return [
    ...jobs,
    'over all jobs (AlgoPerf score; time to target, times the fastest)',
    ...formatTable(['optimizer', 'score', ...report.jobs.map(({ name }) => name)], rows),
  ];
}

function renderJob(job: JobReport): string[] {
  const { recommendation, finals, optimizers } = job;
  const failed = optimizers.flatMap(({ optimizer, tuning, finals: runs }) => {
    const bad = [...tuning, ...runs].filter(({ outcome }) => outcome !== 'finished');
    return bad.length === 0
      ? []
      : [`${optimizer}: failed trials: ${bad.length}, the first: ${bad[0].message ?? bad[0].outcome}`];
  });
  const pairs = finals.comparisons.map(({ a, b, effect, interval, adjusted }) => [
    `${a} - ${b}`,
    formatValue(effect),
    `${formatValue(interval[0])} to ${formatValue(interval[1])}`,
    adjusted.toPrecision(2),
  ]);
  return [
    `${job.name}`,
    '',
    ...formatTable(
      MEASURE_COLUMNS,
      optimizers.map((one) => measureRow(one, job)),
    ),
    '',
    measuresNote(job),
    ...(pairs.length === 0
      ? []
      : ['', ...formatTable([finals.decision, 'difference', '95 % interval', 'p (Holm)'], pairs)]),
    ...(failed.length === 0 ? [] : ['', ...failed]),
    ...absences(job).map(({ optimizers: names, reason }) => `${names.join(', ')} took no part: ${reason}`),
    '',
    ...runFacts(job),
    '',
    recommendation.optimizer === undefined
      ? 'No recommendation.'
      : `Recommendation: ${recommendation.optimizer} with lr ${recommendation.lr}`,
    ...recommendation.reasons.map((reason) => `  - ${reason}`),
  ];
}

/** The line of `--json`: what the recommendation says, for scripts; report.json has everything. */
export function summaryOf(report: Report) {
  return {
    jobs: report.jobs.map(({ name, ended, targetGiven, objective, recommendation, optimizers, cores }) => ({
      name,
      ended,
      objective,
      targetGiven,
      recommendation,
      optimizers: optimizers.map(({ optimizer, lr, finalist, measures }) => ({ optimizer, lr, finalist, measures })),
      cores,
    })),
    ...(report.profiles && { scores: report.profiles.map(({ optimizer, score }) => ({ optimizer, score })) }),
  };
}
