import { existsSync, readdirSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import { quoted } from '../../cluster/launch/shell.ts';
import { checkpointsFolder } from '../checkpoint/store.ts';
import type { Dashboard } from '../dashboard/dashboard.ts';
import { LockstepError } from '../errors.ts';
import type { Sink } from '../record/contract.ts';
import { CsvSink } from '../record/csv.ts';
import { METRICS_FILE, toLine } from '../record/jsonl.ts';
import { TensorBoardSink } from '../record/tensorboard.ts';
import { TraceSink } from '../record/trace.ts';
import type { TrainSummary } from '../train/callbacks.ts';
import type { Job } from '../train/job.ts';
import type { ProgressEvent, TrainOptions, TrainResult } from '../train/options.ts';
import { type DashboardOption, dashboardFor } from './dashboard.ts';
import type { Io } from './io.ts';
import { type LoadedJob, loadJob } from './load-job.ts';
import { type JobOptions, jobWords, overrideJob } from './options.ts';
import { type TerminalProgress, terminal } from './terminal.ts';

export interface TrainCommandOptions extends JobOptions {
  readonly workers?: number | 'auto';
  readonly runDir?: string;
  readonly resume?: string;
  readonly warmStart?: string;
  readonly fastDevRun?: boolean;
  readonly overfitBatches?: number;
  readonly csv?: string;
  readonly tensorboard?: string;
  readonly trace?: string;
  readonly histograms?: number;
  readonly dashboard?: DashboardOption;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** `lockstep train <job>`: progress on standard error, with `--json` the summary as the only line on standard output. */
export async function trainCommand(path: string, options: TrainCommandOptions, io: Io): Promise<void> {
  refusePageOfTrial(options);
  // One after the other: a commonjs job requires this package, and Node cannot require modules that are being imported.
  const { train } = await import('../train/train.ts');
  const loaded = await loadJob(path);
  await trainLoaded(train, loaded, path, options, io, (runDir) => resumeCommand(path, runDir, options));
}

/** Trains a job, here or on many machines. */
export type Trainer = (job: Job, options: TrainOptions, page: Dashboard | undefined) => Promise<TrainResult>;

/** What the commands that train have in common. `resume` is the command line that goes on with a run that was stopped. */
export async function trainLoaded(
  trainer: Trainer,
  loaded: LoadedJob,
  path: string,
  options: TrainCommandOptions,
  io: Io,
  resume: (runDir: string) => string,
): Promise<void> {
  const job = overrideJob(loaded.job, options);
  const runDir = isTrial(options) ? options.runDir : runDirOf(path, job, options);
  const display = options.quiet ? undefined : terminal({ stream: io.progress });
  const name = runDir === undefined ? basename(path) : basename(resolve(runDir));
  const page = await dashboardFor(options.dashboard, name, io);
  const watched = page?.watch(name, options.resume === undefined ? undefined : recordedBefore(runDir, options.resume));
  const kept = runDir !== undefined || isTrial(options);
  try {
    const run: TrainOptions = {
      workers: options.workers,
      module: loaded.module,
      runDir,
      resume: options.resume,
      warmStart: options.warmStart,
      fastDevRun: options.fastDevRun,
      overfitBatches: options.overfitBatches,
      sinks: [...(options.fastDevRun ? [] : sinksOf(options)), ...(watched ? [watched.sink] : [])],
      controls: watched?.controls,
      histogramSteps: histogramSteps(options),
      signal: io.stop,
      onProgress: display && (kept ? display : warnFirst(display)),
    };
    const result = await trainer(job, run, page);
    if (result.stopped === 'aborted' && !kept)
      io.progress.write('nothing was saved: there is no run folder (--run-dir)\n');
    if (result.stopped === 'aborted' && result.checkpoint && runDir !== undefined) {
      io.progress.write(`saved step ${result.step}; to go on: ${resume(runDir)}\n`);
    }
    if (options.json) io.out(toLine(summaryOf(result)).trimEnd());
    if (result.problems.length > 0) throw result.problems[0]; // the result is there, but not all of it on disk
  } finally {
    display?.close();
    await page?.close();
  }
}

/** A page would be gone before anybody has opened it. */
function refusePageOfTrial({ fastDevRun, dashboard }: TrainCommandOptions): void {
  if (!fastDevRun || dashboard === undefined) return;
  throw new LockstepError('E_OPTION', {
    where: 'option --dashboard',
    expected: 'a run that goes on for a while',
    got: '--fast-dev-run, which ends after one step',
    fix: 'leave one of them out; --overfit-batches 1 --dashboard shows a run on one batch',
  });
}

/** The run folder that has the records of the run which is resumed: what goes on in another folder has left them where it was. */
function recordedBefore(...folders: readonly (string | undefined)[]): string | undefined {
  return folders.find((folder) => folder !== undefined && existsSync(join(folder, METRICS_FILE)));
}

/** Says at the start, not after hours, that nothing will be left of the run. */
function warnFirst(display: TerminalProgress): TerminalProgress {
  const text = 'the model is not kept: --run-dir DIR saves it, and a run that is stopped can go on';
  const handle = (event: ProgressEvent): void => {
    display(event);
    if (event.kind === 'start') display({ kind: 'note', text });
  };
  return Object.assign(handle, { close: () => display.close() });
}

function isTrial({ fastDevRun, overfitBatches }: TrainCommandOptions): boolean {
  return fastDevRun === true || overfitBatches !== undefined;
}

/** Where records go beside the run folder. */
function sinksOf({ csv, tensorboard, trace }: TrainCommandOptions): Sink[] {
  return [
    ...(csv === undefined ? [] : [new CsvSink(csv)]),
    ...(tensorboard === undefined ? [] : [new TensorBoardSink(tensorboard)]),
    ...(trace === undefined ? [] : [new TraceSink(trace)]),
  ];
}

const HISTOGRAM_STEPS = 500;

/** Only TensorBoard shows histograms. */
function histogramSteps({ tensorboard, histograms }: TrainCommandOptions): number | undefined {
  if (tensorboard !== undefined) return histograms ?? HISTOGRAM_STEPS;
  if (histograms === undefined) return undefined;
  throw new LockstepError('E_OPTION', {
    where: 'option --histograms',
    expected: '--tensorboard <folder> with it',
    got: 'none',
    fix: 'say where the event file goes, or leave it out',
  });
}

/** Where a run goes: as told, on in the folder that is resumed, or, for a job that saves checkpoints, into a new one. */
function runDirOf(path: string, job: Job, { runDir, resume }: TrainCommandOptions): string | undefined {
  if (runDir !== undefined) return runDir;
  if (resume === 'auto') return newestRunDir(path) ?? newRunDir(path, new Date());
  if (resume !== undefined && existsSync(checkpointsFolder(resume))) return resume;
  return job.checkpoint ? newRunDir(path, new Date()) : undefined;
}

const RUNS = 'runs';
const TIME = /^-\d{8}-\d{6}(-\d+)?$/;

/** `runs/train-20260131-235959` for train.ts; with a number behind it where that exists. */
export function newRunDir(path: string, now: Date): string {
  const time = now
    .toISOString()
    .replaceAll(/[-:]|\..*/g, '')
    .replace('T', '-');
  const name = join(RUNS, `${jobName(path)}-${time}`);
  for (let n = 1; ; n++) {
    const dir = n === 1 ? name : `${name}-${n}`;
    if (!existsSync(dir)) return dir;
  }
}

/** The newest folder that `newRunDir` has named for this job. */
function newestRunDir(path: string): string | undefined {
  if (!existsSync(RUNS)) return undefined;
  const job = jobName(path);
  const newest = readdirSync(RUNS)
    .filter((name) => name.startsWith(job) && TIME.test(name.slice(job.length)))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .at(-1);
  return newest === undefined ? undefined : join(RUNS, newest);
}

function jobName(path: string): string {
  return basename(path, extname(path));
}

/** With the options that make the job what it was: another job would be refused. */
export function resumeCommand(path: string, runDir: string, options: TrainCommandOptions): string {
  const { workers, overfitBatches } = options;
  const words = ['train', path, ...jobWords(options)];
  if (workers !== undefined) words.push('--workers', String(workers));
  if (overfitBatches !== undefined) words.push('--overfit-batches', String(overfitBatches));
  return commandLine([...words, '--run-dir', runDir, '--resume', 'auto']);
}

/** A command line of lockstep that goes on with a run: as it was given, but for where it began. */
export function resumeAsGiven(args: readonly string[], runDir: string): string {
  const words = [...args];
  for (const option of ['--run-dir', '--resume', '--warm-start']) {
    for (let i = words.length - 1; i >= 0; i--) {
      if (words[i] === option) words.splice(i, 2);
      else if (words[i].startsWith(`${option}=`)) words.splice(i, 1);
    }
  }
  return commandLine([...words, '--run-dir', runDir, '--resume', 'auto']);
}

/** As it is typed into a shell. */
export function commandLine(words: readonly string[]): string {
  return ['lockstep', ...words].map(quoted).join(' ');
}

/** The documented keys and no others: a result also holds the history and the parameters. No epoch has ended: there is no loss. */
function summaryOf(result: TrainSummary): Omit<TrainSummary, 'loss'> & { readonly loss: number | null } {
  const { stopped, step, trainedSteps, epoch, loss, metrics, samplesPerSec, seconds } = result;
  const { workers, shards, gemm, parametersSha256, cpuSecondsPerWorker, nodeStatesLost } = result;
  return {
    stopped,
    step,
    trainedSteps,
    epoch,
    loss: Number.isNaN(loss) ? null : loss,
    metrics,
    samplesPerSec,
    seconds,
    workers,
    shards,
    gemm,
    parametersSha256,
    cpuSecondsPerWorker,
    ...(nodeStatesLost !== undefined && { nodeStatesLost }),
  };
}
