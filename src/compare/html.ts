import { jobCharts, profileChart } from './charts.ts';
import { absences, MEASURE_COLUMNS, measureRow, measuresNote, runFacts } from './describe.ts';
import { COLOURS } from './draw.ts';
import { ALPHA } from './finals.ts';
import { escapeHtml, figure, legend, renderPage, table } from './page.ts';
import type { JobReport, Report } from './report.ts';
import { formatValue } from './text.ts';

/** The report as one page that asks for nothing outside itself. Pure. */
export function renderReport(report: Report): string {
  const title = `Which optimizer? ${report.jobs.map(({ name }) => name).join(', ')}`;
  const overall = report.profiles ? overJobs(report, report.profiles) : '';
  const sections = report.jobs.map((job) => jobSection(job)).join('\n');
  return renderPage({ title, body: `${overall}\n${sections}`, footer: machineLine(report) });
}

function overJobs(report: Report, profiles: NonNullable<Report['profiles']>): string {
  const chart = profileChart(
    profiles,
    `Performance profile over ${report.jobs.length} jobs`,
    profiles.slice(0, COLOURS).map((p) => p.optimizer),
  );
  const rows = profiles.map(({ optimizer, score, ratios }) => [
    optimizer,
    formatValue(score),
    ...ratios.map((ratio) => (Number.isFinite(ratio) ? ratio.toFixed(2) : 'never')),
  ]);
  return `<section id="jobs"><h2>Over all jobs</h2>
${figure(chart, legend(profiles.slice(0, COLOURS).map((p) => p.optimizer)))}
${table(['optimizer', 'score', ...report.jobs.map(({ name }) => name)], rows)}
<p class="note">Score: the mean height of the profile for τ from 1 to 4 (AlgoPerf). The other columns: time to target, times the fastest.</p>
</section>`;
}

function jobSection(job: JobReport): string {
  const charts = jobCharts(job);
  const key = legend(job.optimizers.map(({ optimizer }) => optimizer));
  return `<section class="job">
<h2>${escapeHtml(job.name)}</h2>
${recommendationBox(job)}
${charts.map((chart) => figure(chart, key)).join('\n')}
<h3>Measures</h3>
${measuresTable(job)}
<p class="note">${escapeHtml(measuresNote(job))}</p>
${comparisonsPart(job)}
${failuresPart(job)}
<h3>How it was run</h3>
<ul>${runFacts(job)
    .map((fact) => `<li>${escapeHtml(fact)}</li>`)
    .join('')}</ul>
</section>`;
}

function recommendationBox({ recommendation }: JobReport): string {
  const { optimizer, lr, verdict, reasons } = recommendation;
  const head = optimizer === undefined ? 'No recommendation' : `Use ${optimizer} with lr ${lr}`;
  return `<div class="recommendation ${verdict}"><p class="head">${escapeHtml(head)}</p><ul>${reasons
    .map((reason) => `<li>${escapeHtml(reason)}</li>`)
    .join('')}</ul></div>`;
}

function measuresTable(job: JobReport): string {
  const { optimizers } = job;
  return table(
    [...MEASURE_COLUMNS],
    optimizers.map((one) => measureRow(one, job)),
    optimizers.map(({ finalist }) => (finalist ? '' : 'dim')),
  );
}

function comparisonsPart({ finals }: JobReport): string {
  const { comparisons, detectable, decision } = finals;
  if (comparisons.length === 0) return '';
  const rows = comparisons.map(({ a, b, effect, interval, p, adjusted, pairs }) => [
    `${a} – ${b}`,
    signed(effect),
    `${signed(interval[0])} to ${signed(interval[1])}`,
    p.toPrecision(2),
    adjusted.toPrecision(2),
    adjusted < ALPHA ? 'yes' : 'no',
    String(pairs),
  ]);
  const power = Number.isFinite(detectable.effect)
    ? `${detectable.pairs} seeds find a difference of ${detectable.effect.toFixed(1)} standard deviations (${formatValue(detectable.difference)} here) with 80 % power.`
    : `${detectable.pairs} seeds cannot show any difference: the smallest corrected p is ${detectable.smallestP.toPrecision(2)}.`;
  return `<h3>Differences between the finalists</h3>
${table([decision, 'median difference', '95 % interval', 'p', 'p (Holm)', 'significant', 'pairs'], rows)}
<p class="note">Paired by seed; Wilcoxon signed-rank test, exact; bootstrap interval of the median. A run that missed or failed counts as infinite. ${escapeHtml(power)}</p>`;
}

function failuresPart(job: JobReport): string {
  const { optimizers } = job;
  const failures = optimizers.flatMap(({ optimizer, tuning, finals }) => [
    ...tuning
      .filter(({ outcome }) => outcome !== 'finished')
      .map(({ lr, outcome, message }) => [optimizer, `lr ${lr}`, outcome, message ?? '']),
    ...finals
      .filter(({ outcome }) => outcome !== 'finished')
      .map(({ seed, outcome, message }) => [optimizer, `final, seed ${seed}`, outcome, message ?? '']),
  ]);
  const absent = absences(job).map(({ optimizers: names, reason }) => [names.join(', '), '-', 'took no part', reason]);
  const rows = [...failures, ...absent];
  if (rows.length === 0) return '';
  return `<details><summary>Failures and absences: ${rows.length}</summary>${table(['optimizer', 'trial', 'what', 'why'], rows)}</details>`;
}

function machineLine({ machine, lockstep, createdAt }: Report): string {
  return `lockstep ${lockstep}, Node ${machine.node}, ${machine.cpu}, ${machine.cores} cores, ${machine.platform}, gemm ${machine.gemm}; ${createdAt}`;
}

function signed(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+∞';
  if (value === Number.NEGATIVE_INFINITY) return '−∞';
  return value > 0 ? `+${formatValue(value)}` : formatValue(value);
}
