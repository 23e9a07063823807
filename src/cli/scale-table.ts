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
  stopLines,
} from '../scaling/describe.ts';
import { machineLine } from '../scaling/html.ts';
import type { JobScaling, ScalingReport } from '../scaling/report.ts';
import { formatTable } from './format.ts';

/** A scaling report for the terminal. Pure. */
export function renderScale({ machine, jobs }: ScalingReport): string[] {
  return [...jobs.flatMap(renderJob), machineLine(machine), ...machine.warnings.map((text) => `warning: ${text}`)];
}

function renderJob(job: JobScaling): string[] {
  const head = headline(job);
  const phases = phaseTable(job);
  return [
    job.name,
    '',
    ...rowsByMode(job).flatMap(({ mode, rows }) => [
      modeTitle(mode),
      ...formatTable(ROW_COLUMNS, rows.map(rowCells)),
      '',
    ]),
    `rounds: slowest to fastest of ${job.rounds}; parameters: SHA-256 after the first ${job.hashedSteps} steps, the same for every row of one batch and S`,
    '',
    ...(head === undefined ? [] : [head, '']),
    ...formatTable(phases.columns, phases.rows),
    ...explanationLines(job).map((line) => `  - ${line}`),
    '',
    ...[...stopLines(job), ...errorLines(job), ...noiseLines(job)].map((line) => `  - ${line}`),
    ...job.notes.map((note) => `  - ${note}`),
    '',
  ];
}
