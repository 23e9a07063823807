import { escapeHtml, figure, legend, renderPage, table } from '../compare/page.ts';
import { jobCharts } from './charts.ts';
import {
  errorLines,
  explanationLines,
  headline,
  modeTitle,
  noiseLines,
  phaseTable,
  ROW_COLUMNS,
  rowCells,
  rowsByMode,
  SERIES_COLUMNS,
  seriesCells,
  stopLines,
} from './describe.ts';
import { coreDistanceText, type MachineBlock } from './machine.ts';
import type { JobScaling, ScalingReport } from './report.ts';

/** The report as one page that asks for nothing outside itself. Pure. */
export function renderScaling(report: ScalingReport): string {
  const { jobs, machine, lockstep } = report;
  return renderPage({
    title: `How it scales: ${jobs.map(({ name }) => name).join(', ')}`,
    body: [warnings(machine), ...jobs.map(section)].join('\n'),
    footer: `lockstep ${lockstep}; ${machineLine(machine)}`,
  });
}

/** What was measured where, in a line. */
export function machineLine(machine: MachineBlock): string {
  const {
    cpu,
    cores,
    memoryGiB,
    platform,
    node,
    date,
    loadBefore,
    busyElsewhere,
    looks,
    speedDrift = 0,
    kernels,
    gemmGflops,
  } = machine;
  const distance = coreDistanceText(machine);
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  const rates = Object.entries(kernels).map(
    ([gemm, name]) => `${gemm} ${name} at ${(gemmGflops[gemm] ?? Number.NaN).toFixed(0)} GFLOP/s a core`,
  );
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}, Node ${node}, ${rates.join(', ')}, load ${loadBefore.toFixed(2)} before, others used ${percent(busyElsewhere)} of the cores between rounds (up to ${percent(Math.max(0, ...looks))}), the speed of a core moved by ${percent(speedDrift)}${distance === undefined ? '' : `, ${distance}`}; ${date}`;
}

function section(job: JobScaling): string {
  const head = headline(job);
  const phases = phaseTable(job);
  const stops = stopLines(job);
  return `<section class="job">
<h2>${escapeHtml(job.name)}</h2>
<div class="recommendation"><p class="head">${escapeHtml(head ?? 'One worker')}</p>${list([...stops, ...noiseLines(job)])}</div>
${jobCharts(job)
  .map(({ chart, names }) => figure(chart, legend(names)))
  .join('\n')}
<h3>Measured</h3>
${rowsByMode(job)
  .map(({ mode, rows }) => `<p>${escapeHtml(modeTitle(mode))}</p>${table(ROW_COLUMNS, rows.map(rowCells))}`)
  .join('\n')}
<p class="note">Median of ${job.rounds} interleaved rounds. parameters: SHA-256 after the first ${job.hashedSteps} steps; rows of one batch and S have the same.</p>
<h3>Explained</h3>
${list(explanationLines(job))}
${table(phases.columns, phases.rows)}
<h3>Predicted</h3>
${list(errorLines(job))}
${predictions(job)}
</section>`;
}

function predictions(job: JobScaling): string {
  const rows = seriesCells(job);
  if (rows.length === 0) return '';
  return `<details><summary>All ${rows.length} predictions</summary>${table(SERIES_COLUMNS, rows)}</details>`;
}

function warnings({ warnings: lines }: MachineBlock): string {
  return lines.length === 0 ? '' : `<div class="recommendation leads"><p class="head">Careful</p>${list(lines)}</div>`;
}

function list(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `<ul>${lines.map((line) => `<li>${escapeHtml(line)}</li>`).join('')}</ul>`;
}
