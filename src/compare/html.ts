import { type Chart, COLOURS, jobCharts, profileChart } from './charts.ts';
import { MEASURE_COLUMNS, measureRow, measuresNote, runFacts } from './describe.ts';
import { ALPHA } from './finals.ts';
import type { JobReport, Report } from './report.ts';
import { formatValue } from './text.ts';

/** The report as one page that asks for nothing outside itself. Pure. */
export function renderReport(report: Report): string {
  const title = `Which optimizer? ${report.jobs.map(({ name }) => name).join(', ')}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${report.profiles ? overJobs(report, report.profiles) : ''}
${report.jobs.map((job) => jobSection(job)).join('\n')}
<footer>${escapeHtml(machineLine(report))}</footer>
</main>
</body>
</html>
`;
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

function measuresTable({ optimizers }: JobReport): string {
  return table(
    [...MEASURE_COLUMNS],
    optimizers.map(measureRow),
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

function failuresPart({ optimizers, left }: JobReport): string {
  const failures = optimizers.flatMap(({ optimizer, tuning, finals }) => [
    ...tuning
      .filter(({ outcome }) => outcome !== 'finished')
      .map(({ lr, outcome, message }) => [optimizer, `lr ${lr}`, outcome, message ?? '']),
    ...finals
      .filter(({ outcome }) => outcome !== 'finished')
      .map(({ seed, outcome, message }) => [optimizer, `final, seed ${seed}`, outcome, message ?? '']),
  ]);
  const rows = [...failures, ...left.map(({ optimizer, reason }) => [optimizer, '-', 'took no part', reason])];
  if (rows.length === 0) return '';
  return `<details><summary>${rows.length} failures and absences</summary>${table(['optimizer', 'trial', 'what', 'why'], rows)}</details>`;
}

function machineLine({ machine, lockstep, createdAt }: Report): string {
  return `lockstep ${lockstep}, Node ${machine.node}, ${machine.cpu}, ${machine.cores} cores, ${machine.platform}, gemm ${machine.gemm}; ${createdAt}`;
}

function figure({ title, note, svg }: Chart, key: string): string {
  return `<figure><figcaption>${escapeHtml(title)}</figcaption>${key}${svg}<p class="note">${escapeHtml(note)}</p></figure>`;
}

function legend(names: readonly string[]): string {
  const items = names
    .slice(0, COLOURS)
    .map((name, i) => `<span><i style="background:var(--c${i})"></i>${escapeHtml(name)}</span>`);
  return `<div class="legend">${items.join('')}</div>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[], classes: readonly string[] = []): string {
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('');
  const body = rows.map((row, i) => `<tr${classes[i] ? ` class="${classes[i]}"` : ''}>${cells(row, 'td')}</tr>`);
  return `<div class="scroll"><table><thead><tr>${cells(head, 'th')}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
}

function signed(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+∞';
  if (value === Number.NEGATIVE_INFINITY) return '−∞';
  return value > 0 ? `+${formatValue(value)}` : formatValue(value);
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Ten colours that keep apart on white and on black (Tableau 10 and its lighter half). */
const LIGHT = [
  '#4269d0',
  '#d9730d',
  '#d8364c',
  '#2a8f85',
  '#2f8f46',
  '#c2478a',
  '#7f5fc7',
  '#1f7fbf',
  '#8a6d3b',
  '#6b7280',
];
const DARK = [
  '#8aa6f5',
  '#f5b25c',
  '#ff8a94',
  '#6fd3c7',
  '#7ccf87',
  '#ff9fcf',
  '#bfa5f5',
  '#86c8f2',
  '#c9ab78',
  '#a9b0ba',
];

const variables = (colours: readonly string[]) => colours.map((colour, i) => `--c${i}:${colour}`).join(';');

const STYLE = `
:root{${variables(LIGHT)};--back:#fff;--text:#1b1f24;--dim:#5c6570;--line:#d9dee4;--box:#f3f6fa;--good:#2f8f46;--warn:#b26a00}
@media (prefers-color-scheme:dark){:root{${variables(DARK)};--back:#14171b;--text:#e6e9ed;--dim:#9aa4af;--line:#333a42;--box:#1d2228;--good:#7ccf87;--warn:#f5b25c}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:880px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:1.6rem;line-height:1.25}h2{margin-top:2.2em;border-bottom:1px solid var(--line);padding-bottom:.2em}h3{margin-top:1.8em}
.recommendation{background:var(--box);border-left:4px solid var(--good);padding:.8em 1.2em;border-radius:4px}
.recommendation.leads,.recommendation.only{border-color:var(--warn)}.recommendation.none{border-color:var(--c2)}
.recommendation .head{font-size:1.25rem;font-weight:600;margin:.1em 0 .3em}
figure{margin:2em 0}figcaption{font-weight:600;margin-bottom:.3em}figure svg{max-width:100%;height:auto;color:var(--text)}
.legend{display:flex;flex-wrap:wrap;gap:.2em 1.1em;font-size:.85rem;margin-bottom:.3em}
.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.35em;vertical-align:-.05em}
.note,footer{color:var(--dim);font-size:.85rem}footer{margin-top:3em}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3em .7em;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}details td:last-child{white-space:normal;text-align:left}
tr.dim td{color:var(--dim)}summary{cursor:pointer;margin-top:1.5em}
`;
