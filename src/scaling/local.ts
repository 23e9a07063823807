import type { LoadedData } from '../data/contract.ts';
import { pickRows } from '../data/pick.ts';
import type { NoiseSample } from '../parallel/noise-sampler.ts';
import type { Sink, SinkRecord } from '../record/contract.ts';
import type { Job } from '../train/job.ts';
import type { TrainOptions } from '../train/options.ts';
import { loadJobData, planRun, type RunPlan } from '../train/plan-run.ts';
import { resolveJob } from '../train/resolve-job.ts';
import { trainPlan } from '../train/train.ts';
import type { OpenPoint, Point } from './contract.ts';
import { KEPT_STEPS, KeptRun } from './kept-run.ts';

/** A job made ready to be timed: its data read once, and nothing in it that stops the workers but the end of an epoch. */
export interface TimedJob {
  readonly job: Job;
  readonly data: LoadedData;
  readonly options: TrainOptions;
}

/**
 * Reads the data. Of validation rows one is left, for schedules that look at it; test rows, checkpoints, early stopping and callbacks
 * are left out: what is timed is the step.
 */
export async function openTimedJob(
  job: Job,
  { module, signal }: { readonly module?: string | undefined; readonly signal?: AbortSignal | undefined },
): Promise<TimedJob> {
  const options: TrainOptions = { ...(module ? { module } : {}), ...(signal ? { signal } : {}) };
  const { test: _, validation, ...data } = await loadJobData(resolveJob(job), options);
  return {
    job: stripped(job),
    data: { ...data, ...(validation ? { validation: pickRows(validation, Int32Array.of(0)) } : {}) },
    options,
  };
}

/** The job without what stops or slows the steps. */
export function stripped(job: Job): Job {
  const { callbacks: _1, earlyStopping: _2, checkpoint: _3, evaluate: _4, steps: _5, epochs: _6, ...timed } = job;
  return timed;
}

type Size = Omit<Point, 'roles'>;

/** The plan of a point; good for one run. */
export function planPoint(
  { job, data, options }: TimedJob,
  point: Size,
  steps: number,
  more?: TrainOptions,
): Promise<RunPlan> {
  return planRun(sizedJob(job, data.train.size, point, steps), { ...options, ...more, workers: point.workers }, data);
}

/** The job with the batch, S and number of steps of a point. */
export function sizedJob(job: Job, rows: number, { batch, shards = job.shards }: Size, steps: number): Job {
  const epochs = Math.ceil((steps * batch) / rows) + 1;
  return { ...job, batchSize: batch, epochs, steps, ...(shards === undefined ? {} : { shards }) };
}

/** Runs points in this process through the trainer itself. */
export function openLocally(timed: TimedJob): OpenPoint {
  return async (point) => {
    const options: TrainOptions = { ...timed.options, workers: point.workers };
    const plan = await planPoint(timed, point, KEPT_STEPS, options);
    return new KeptRun((more, onOpen) => trainPlan(plan, { ...options, ...more }, onOpen), point.batch);
  };
}

/** One run of a point by itself, which takes samples of the gradient noise. */
export async function sampleNoise(
  timed: TimedJob,
  point: Size,
  steps: number,
  every: number,
): Promise<{ readonly noise: readonly NoiseSample[]; readonly stepsMs: readonly number[] }> {
  const noise: NoiseSample[] = [];
  const sink: Sink = {
    open() {},
    write(records: readonly SinkRecord[]) {
      for (const record of records) if (record.kind === 'gradient-noise') noise.push(record);
    },
    close() {},
  };
  const options = { ...timed.options, workers: point.workers, sinks: [sink], gradientNoiseEvery: every };
  const { history } = await trainPlan(await planPoint(timed, point, steps, options), options);
  return { noise, stepsMs: history.map(({ timings }) => timings.stepMs) };
}
