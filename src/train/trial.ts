import { createBlockSampler } from '../data/block-sampler.ts';
import type { LoadedData, Split } from '../data/contract.ts';
import { pickRows } from '../data/pick.ts';
import { createSampler } from '../data/sampler.ts';
import { LockstepError } from '../errors.ts';
import type { TrainOptions } from './options.ts';
import type { ResolvedJob } from './resolve-job.ts';

/**
 * Runs that try a job out on a few of its batches (PyTorch Lightning's `fast_dev_run` and `overfit_batches`): data and job are
 * cut down before anything is compiled, and the trainer does not know.
 */
export type Trial = { readonly kind: 'fastDevRun' } | { readonly kind: 'overfitBatches'; readonly batches: number };

/** What the options ask for. @throws E_OPTION for both at once, or a number of batches that is none. */
export function trialOf({ fastDevRun, overfitBatches }: TrainOptions): Trial | undefined {
  if (overfitBatches !== undefined) {
    const problem = (expected: string, got: string, fix: string) =>
      new LockstepError('E_OPTION', { where: 'option overfitBatches', expected, got, fix });
    if (!Number.isInteger(overfitBatches) || overfitBatches < 1) {
      throw problem(
        'a whole number of at least 1',
        String(overfitBatches),
        'give the number of batches to learn by heart',
      );
    }
    if (fastDevRun) throw problem('one kind of trial', 'fastDevRun too', 'leave one of them out');
    return { kind: 'overfitBatches', batches: overfitBatches };
  }
  return fastDevRun ? { kind: 'fastDevRun' } : undefined;
}

/** A fast dev run reads and writes no files but its data, and goes on from nothing. */
export function trialOptions(options: TrainOptions): TrainOptions {
  if (!options.fastDevRun) return options;
  return { ...options, runDir: undefined, resume: undefined, sinks: undefined, histogramSteps: undefined };
}

/** The job without what a trial has no data or no use for. */
export function trialJob(job: ResolvedJob, trial: Trial): ResolvedJob {
  const common = { ...job, evaluate: {}, earlyStopping: undefined };
  if (trial.kind === 'fastDevRun') return { ...common, epochs: 1, steps: 1, checkpoint: undefined };
  return { ...common, checkpoint: job.checkpoint && { ...job.checkpoint, keepBest: undefined } };
}

/**
 * The data of a trial. The batches are the first ones of the ordinary run, with the same rows in the same order, so their steps
 * are those of the ordinary run; they must be read unshuffled.
 *
 * - fast dev run: the first training batch and as many validation rows; no test rows.
 * - both: rows as they are, without augmentation.
 * - overfit: the first batches again and again, to the length of an epoch, so that epochs, schedules and the number of updates
 *   are those of the job; no validation and test rows.
 */
export function trialData(data: LoadedData, trial: Trial, job: Pick<ResolvedJob, 'batchSize' | 'seed'>): LoadedData {
  const { validation, test, augment: _, ...rest } = data;
  const { size } = data.train;
  const batchSize = job.batchSize === 'full' ? size : Math.min(size, job.batchSize);
  const order = firstEpoch(data.train, batchSize, job.seed);
  if (trial.kind === 'fastDevRun') {
    const train = pickRows(data.train, order.slice(0, batchSize));
    if (!validation) return { ...rest, train };
    const some = Int32Array.from({ length: Math.min(batchSize, validation.size) }, (_, i) => i);
    return { ...rest, train, validation: pickRows(validation, some) };
  }
  const steps = Math.ceil(size / batchSize);
  if (trial.batches >= steps) return { ...rest, train: pickRows(data.train, order) };
  const period = trial.batches * batchSize;
  const ids = Int32Array.from({ length: steps * batchSize }, (_, i) => order[i % period]);
  return { ...rest, train: pickRows(data.train, ids) };
}

/** The rows of the first epoch in the order in which its steps take them. */
function firstEpoch(train: Split, batchSize: number, seed: number): Int32Array {
  const { size } = train;
  const options = { size, batchSize, seed, shuffle: true };
  const streamed = train.kind === 'streamed';
  const sampler = streamed ? createBlockSampler({ ...options, blocks: train.blocks }) : createSampler(options);
  const order = new Int32Array(size);
  let taken = 0;
  for (let step = 1; step <= sampler.stepsPerEpoch; step++) taken += sampler.ids(step, 0, 1, order.subarray(taken));
  return order;
}

/** A sentence for the user. */
export function trialNote(trial: Trial): string {
  if (trial.kind === 'fastDevRun') return 'fast dev run: one training batch, one validation batch; nothing is written';
  const { batches } = trial;
  return `overfit: ${batches === 1 ? 'the first batch' : `the first ${batches} batches`} again and again, without validation and test`;
}
