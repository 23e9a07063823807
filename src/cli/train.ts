import { basename, extname, join } from 'node:path';
import { toLine } from '../record/jsonl.ts';
import type { TrainSummary } from '../train/callbacks.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';
import { terminal } from './terminal.ts';

export interface TrainCommandOptions extends JobOptions {
  readonly workers?: number | 'auto';
  readonly runDir?: string;
  readonly resume?: string;
  readonly warmStart?: string;
  readonly fastDevRun?: boolean;
  readonly overfitBatches?: number;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** `lockstep train <job>`: progress on standard error, with `--json` the summary as the only line on standard output. */
export async function trainCommand(path: string, options: TrainCommandOptions, io: Io): Promise<void> {
  // One after the other: a commonjs job requires this package, and Node cannot require modules that are being imported.
  const { train } = await import('../train/train.ts');
  const loaded = await loadJob(path);
  const job = overrideJob(loaded.job, options);
  const runDir = options.runDir ?? (job.checkpoint && !isTrial(options) ? newRunDir(path, new Date()) : undefined);
  const display = options.quiet ? undefined : terminal({ stream: io.progress });
  try {
    const result = await train(job, {
      workers: options.workers,
      module: loaded.module,
      runDir,
      resume: options.resume,
      warmStart: options.warmStart,
      fastDevRun: options.fastDevRun,
      overfitBatches: options.overfitBatches,
      signal: io.stop,
      onProgress: display,
    });
    if (result.stopped === 'aborted' && result.checkpoint) {
      io.progress.write(
        `saved step ${result.step}; to go on: lockstep train ${path} --run-dir ${runDir} --resume auto\n`,
      );
    }
    if (options.json) io.out(toLine(summaryOf(result)).trimEnd());
  } finally {
    display?.close();
  }
}

function isTrial({ fastDevRun, overfitBatches }: TrainCommandOptions): boolean {
  return fastDevRun === true || overfitBatches !== undefined;
}

/** Where a job that saves checkpoints does so when nobody says where: `runs/train-20260131-235959` for train.ts. */
export function newRunDir(path: string, now: Date): string {
  const time = now
    .toISOString()
    .replaceAll(/[-:]|\..*/g, '')
    .replace('T', '-');
  return join('runs', `${basename(path, extname(path))}-${time}`);
}

/** The documented keys and no others: a result also holds the history and the parameters. */
function summaryOf(result: TrainSummary): TrainSummary {
  const { step, epoch, loss, metrics, samplesPerSec, seconds } = result;
  const { workers, shards, gemm, parametersSha256, cpuSecondsPerWorker } = result;
  return {
    step,
    epoch,
    loss,
    metrics,
    samplesPerSec,
    seconds,
    workers,
    shards,
    gemm,
    parametersSha256,
    cpuSecondsPerWorker,
  };
}
