import { type Command, InvalidArgumentError } from 'commander';
import type { Job } from '../train/job.ts';
import { applySettings } from './set.ts';

/** Options that change the job: they win over what the module says. */
export interface JobOptions {
  readonly shards?: number;
  readonly batchSize?: number | 'full';
  readonly epochs?: number;
  readonly steps?: number;
  readonly seed?: number;
  readonly set: readonly string[];
}

export const DASHBOARD = 'a live page on this machine: curves, workers, events, buttons (default port: 7460)';

/** Adds them to a command, with `--workers`. */
export function addJobOptions(command: Command, stepsMean = 'stop after this many updates'): Command {
  return addOwnOptions(
    command.option('-w, --workers <n>', "threads that compute; 'auto' = available cores (default: auto)", workers),
    stepsMean,
  );
}

/** Only those that change the job. */
export function addOwnOptions(command: Command, stepsMean: string): Command {
  return command
    .option('--shards <n>', 'slices of the global batch; the result depends on it, not on --workers', count(1))
    .option('--batch-size <n>', "rows of a step; 'full' = all training rows", batchSize)
    .option('--epochs <n>', 'passes over the training rows', count(1))
    .option('--steps <n>', stepsMean, count(1))
    .option('--seed <n>', 'everything random follows from it', count(0))
    .option('--set <path=value>', 'change any field of the job, e.g. optimizer.lr=0.01 (repeatable)', collect, []);
}

/** Where a run is written, where it begins, and what is printed: of every command that trains. */
export function addTrainOptions(command: Command): Command {
  return addJobOptions(command)
    .option(
      '--run-dir <folder>',
      'write metrics.jsonl and checkpoints there (a job that saves checkpoints: default runs/<job>-<time>)',
    )
    .option(
      '--resume <folder>',
      "go on from a run folder or checkpoint; 'auto': from --run-dir, or the newest runs/<job>-<time>",
    )
    .option('--warm-start <path>', 'take only the parameters from a run folder, a checkpoint or a model file')
    .option('--csv <folder>', 'also write steps.csv and evaluations.csv there')
    .option('--tensorboard <folder>', 'also write an event file for TensorBoard there')
    .option('--histograms <n>', 'there, of weights and gradients every n steps (default: 500)', count(1))
    .option('--trace <file>', 'also write what each worker did in the last steps, for ui.perfetto.dev')
    .option('--dashboard [port]', DASHBOARD, pagePort)
    .option('-q, --quiet', 'no progress')
    .option('--json', 'print the result as one line of JSON on standard output');
}

/** The options as words of a command line: another process with them has the same job. */
export function jobWords({ shards, batchSize, epochs, steps, seed, set }: JobOptions): string[] {
  const given = Object.entries({ shards, 'batch-size': batchSize, epochs, steps, seed });
  return [
    ...given.flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)])),
    ...set.flatMap((setting) => ['--set', setting]),
  ];
}

/** The job with the options applied; `--set` comes last. */
export function overrideJob(job: Job, options: JobOptions): Job {
  const given: Partial<Record<'shards' | 'batchSize' | 'epochs' | 'steps' | 'seed', unknown>> = {};
  for (const key of ['shards', 'batchSize', 'epochs', 'steps', 'seed'] as const) {
    if (options[key] !== undefined) given[key] = options[key];
  }
  return applySettings({ ...job, ...given } as Job, options.set);
}

/** A parser of whole numbers. */
export function count(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`a whole number of at least ${least}`);
  };
}

/** A number above 0, such as a learning rate. */
export function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('a number above 0');
}

/** A number of at least 0, such as a temperature. */
export function atLeastZero(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError('a number of at least 0');
}

/** A port; 0: any that is free. */
export function port(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value < 65_536) return value;
  throw new InvalidArgumentError('a port: a whole number from 0 to 65535');
}

/** The same, of an option that can do without: what stands behind it may be meant for something else. */
export function pagePort(text: string): number {
  if (/^\d+$/.test(text)) return port(text);
  throw new InvalidArgumentError('a port, or nothing behind it: what else there is comes before');
}

/** A parser of one of several words. */
export function choice<const T extends string>(...names: readonly T[]): (text: string) => T {
  return (text) => {
    const found = names.find((name) => name === text);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`one of ${names.join(', ')}`);
  };
}

export function workers(text: string): number | 'auto' {
  if (text === 'auto') return text;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new InvalidArgumentError("'auto' or a whole number of at least 1");
}

function batchSize(text: string): number | 'full' {
  if (text === 'full') return text;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new InvalidArgumentError("'full' or a whole number of at least 1");
}

function collect(text: string, previous: readonly string[]): string[] {
  return [...previous, text];
}
