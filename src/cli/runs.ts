import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LockstepError } from '../errors.ts';
import { METRICS_FILE, toLine } from '../record/jsonl.ts';
import { formatCount, formatDuration, formatNumber, formatTable } from './format.ts';
import type { Io } from './io.ts';
import { type RunSummary, summarizeRun } from './run-summary.ts';

const RUNS = 'runs';

/** `lockstep runs [folders]`: the run folders in them (default: runs), newest first, a line each. */
export async function runsCommand(folders: readonly string[], options: { json?: boolean }, io: Io): Promise<void> {
  const found = (folders.length === 0 ? [RUNS] : folders).flatMap((folder) => runFolders(folder, folders.length > 0));
  const runs: RunSummary[] = [];
  for (const folder of found) runs.push(await summaryOf(folder));
  runs.sort((a, b) => (b.startedAt ?? '').localeCompare(a.startedAt ?? ''));
  if (options.json) io.out(toLine(runs).trimEnd());
  else if (runs.length === 0)
    io.out(
      `no runs in ${folders.length === 0 ? `${RUNS}/` : folders.join(', ')}: \`lockstep train <job> --run-dir runs/a\` makes one`,
    );
  else for (const line of tableOf(runs.map(rowOf))) io.out(line);
}

/** Names that are longer would push everything else off the screen: they have a line of their own. */
const LONGEST_NAME = 40;

function tableOf(rows: readonly string[][]): string[] {
  const fits = ([name]: readonly string[]) => name.length <= LONGEST_NAME;
  const [head, ...lines] = formatTable(
    HEAD,
    rows.map((row) => (fits(row) ? row : ['', ...row.slice(1)])),
  );
  return [head, ...lines.flatMap((line, i) => (fits(rows[i]) ? [line] : [rows[i][0], line]))];
}

/** One that cannot be read must not hide the others. */
async function summaryOf(folder: string): Promise<RunSummary> {
  try {
    return await summarizeRun(folder);
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    return { folder, state: 'unreadable', step: 0, totalSteps: 0, seconds: 0, damagedLines: 0 };
  }
}

const HEAD = ['run', 'state', 'steps', 'best', 'duration', 'started'] as const;

function rowOf({
  folder,
  state,
  stopped,
  step,
  totalSteps,
  best,
  seconds,
  startedAt,
  damagedLines,
}: RunSummary): string[] {
  const why = stopped === undefined || stopped === 'epochs' || stopped === 'steps' ? state : `${state} (${stopped})`;
  return [
    folder,
    damagedLines === 0 ? why : `${why}, ${damagedLines} damaged ${damagedLines === 1 ? 'line' : 'lines'}`,
    state === 'unreadable' ? '-' : `${formatCount(step)} of ${formatCount(totalSteps)}`,
    best ? `${best.metric} ${formatNumber(best.value)} at ${formatCount(best.step)}` : '-',
    state === 'unreadable' ? '-' : formatDuration(seconds),
    startedAt?.slice(0, 16).replace('T', ' ') ?? '-',
  ];
}

/** The folder itself if it is a run, else those in it. */
function runFolders(folder: string, named: boolean): string[] {
  if (existsSync(join(folder, METRICS_FILE))) return [folder];
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    if (!named) return [];
    throw new LockstepError('E_RUN_DIR', {
      where: `folder ${folder}`,
      expected: 'a folder with runs in it',
      got: existsSync(folder) ? 'a file' : 'none',
      fix: 'name another one; without a name it is runs/',
    });
  }
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, METRICS_FILE)))
    .map(({ name }) => join(folder, name));
}
