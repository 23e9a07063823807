import type { Fields } from '../data/contract.ts';
import { LockstepError } from '../errors.ts';
import { exponentialGrowth } from '../optim/schedule-functions.ts';
import type { StepRecord } from '../record/contract.ts';
import type { Job } from './job.ts';
import { DivergenceWatch, type LrPoint, type SmoothedPoint, smooth, suggestRate } from './lr-curve.ts';
import type { TrainOptions } from './options.ts';
import { loadJobData, planRun } from './plan-run.ts';
import { resolveJob } from './resolve-job.ts';
import { trainPlan } from './train.ts';

export interface LrFindOptions extends Pick<TrainOptions, 'workers' | 'module' | 'signal'> {
  /** First rate of the sweep. Default 1e-6. */
  readonly from?: number;
  /** Last rate, if the loss does not diverge before. Default 10. */
  readonly to?: number;
  /** Updates of the sweep, each with a rate larger by the same factor. Default 200. */
  readonly steps?: number;
  /** After each batch of steps: how many of `steps` are done. */
  readonly onProgress?: (done: number, steps: number) => void;
}

export interface LrFindResult {
  /** Where the loss falls fastest; undefined if it does not fall at any rate. */
  readonly suggestion: number | undefined;
  /** Where the loss is lowest: with this rate it is about to diverge. */
  readonly lowest: number | undefined;
  /** Up to the end of the sweep, or to where the loss diverged. */
  readonly points: readonly SmoothedPoint[];
  readonly diverged: boolean;
}

/**
 * The learning-rate range test (Smith 2015, arXiv:1506.01186): trains the job on its training rows for a few steps while the rate
 * grows exponentially, until the loss diverges. Nothing is kept: the parameters are thrown away, no file is written.
 *
 * @throws LockstepError as `train`; E_OPTION for a sweep that is none.
 */
export async function findLearningRate<F extends Fields>(
  jobOfUser: Job<F>,
  options: LrFindOptions = {},
): Promise<LrFindResult> {
  const { from = 1e-6, to = 10, steps = 200, workers, module, signal, onProgress } = options;
  checkSweep(from, to, steps);
  const job = jobOfUser as unknown as Job;
  const points: LrPoint[] = [];
  const watch = new DivergenceWatch();
  const enough = new AbortController();
  let diverged = false;
  const onSteps = (records: readonly StepRecord[]) => {
    for (const { step, lr, loss } of records) {
      if (diverged) return; // the workers ran on for a moment: what they found there does not depend on the job alone
      diverged = watch.add(loss);
      if (Number.isFinite(loss)) points.push({ step, lr, loss });
    }
    onProgress?.(Math.min(points.length, steps), steps);
    if (diverged) enough.abort();
  };
  const sweep: Job = {
    ...job,
    // Spreading keeps the symbol by which a custom optimizer is found.
    optimizer: { ...job.optimizer, lr: exponentialGrowth({ initial: from, final: to, steps }) },
    epochs: undefined,
    steps,
    evaluate: undefined,
    earlyStopping: undefined,
    checkpoint: undefined,
    nonFinite: 'stop',
    callbacks: { onSteps },
  };
  const { validation: _, test: __, ...data } = await loadJobData(resolveJob(sweep), { module, signal });
  const runOptions = { workers, module, signal: signal ? AbortSignal.any([signal, enough.signal]) : enough.signal };
  const plan = await planRun(sweep, runOptions, data);
  try {
    await trainPlan(plan, runOptions);
  } catch (error) {
    // Too large a rate breaks the numbers at last: that is the end of the sweep, if it has begun well.
    if (!(error instanceof LockstepError && error.code === 'E_NON_FINITE' && points.length > 1)) throw error;
    diverged = true;
  }
  if (signal?.aborted) {
    throw new LockstepError('E_ABORTED', {
      where: 'learning-rate sweep',
      expected: 'to sweep to the end',
      got: 'an abort',
      fix: 'run it again',
    });
  }
  const smoothed = smooth(points);
  const found = suggestRate(smoothed);
  return { suggestion: found?.lr, lowest: found?.lowest, points: smoothed, diverged };
}

function checkSweep(from: number, to: number, steps: number): void {
  const fail = (name: string, expected: string, got: number) =>
    new LockstepError('E_OPTION', {
      where: `learning-rate sweep: ${name}`,
      expected,
      got: String(got),
      fix: 'for example from 1e-6 to 10 in 200 steps',
    });
  if (!(from > 0 && Number.isFinite(from))) throw fail('from', 'a rate > 0', from);
  if (!(to > from && Number.isFinite(to))) throw fail('to', `a rate above ${from}`, to);
  if (!(Number.isInteger(steps) && steps >= 20)) throw fail('steps', 'a whole number of at least 20', steps);
}
