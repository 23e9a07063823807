import type { LoadedData, Table } from '../../data/contract.ts';
import { pickRows } from '../../data/pick.ts';
import { LockstepError } from '../../errors.ts';
import { lrAt } from '../../optim/schedules.ts';
import type { Job } from '../job.ts';
import type { TrainOptions, TrainResult } from '../options.ts';
import { planRun, type RunPlan } from '../plan-run.ts';
import { trainPlan } from '../train.ts';
import { trialData } from '../trial.ts';
import { type LossBounds, lossBounds, targetOf } from './rows.ts';

/** Rows to learn by heart, in one batch. */
export const HEART_ROWS = 32;
/** Updates that this may take, and how often the loss is looked at. */
const STEPS = 400;
const EVERY = 20;
/** Share of what can be learnt that must be. */
const LEARNT = 0.9;

/** How learning one batch by heart went, with one learning rate. */
export interface Attempt {
  readonly lr: number;
  readonly steps: number;
  /** Loss of the first step. */
  readonly first: number;
  /** Losses in evaluation (no dropout), every 20 steps; NaN at last when the numbers broke. */
  readonly losses: readonly number[];
  readonly accuracy: number | undefined;
  readonly learnt: boolean;
  /** Absent when the numbers broke. */
  readonly parameters?: TrainResult['parameters'];
}

/** The batch, and what can be had on it. */
export interface Heart {
  readonly job: Job;
  readonly plan: RunPlan;
  readonly data: LoadedData;
  /** The rows themselves, once; undefined where workers compute them. */
  readonly rows: Table | undefined;
  readonly bounds: LossBounds | undefined;
  /** The largest rate of the job's schedule. */
  readonly lr: number;
}

/** Cuts 32 training rows out: they are the training batch again and again, and the validation rows. */
export async function prepareHeart(job: Job, data: LoadedData, whole: RunPlan, options: TrainOptions): Promise<Heart> {
  const size = Math.min(HEART_ROWS, data.train.size);
  const { validation: _, test: __, ...rest } = data;
  const batch = trialData({ ...rest }, { kind: 'fastDevRun' }, { batchSize: size, seed: whole.job.seed }).train;
  const again = pickRows(
    batch,
    Int32Array.from({ length: EVERY * size }, (_, i) => i % size),
  );
  const cut = { ...rest, train: again, validation: batch };
  const heartJob: Job = {
    ...job,
    batchSize: size,
    steps: STEPS,
    epochs: undefined,
    shards: 1,
    evaluate: undefined,
    earlyStopping: undefined,
    checkpoint: undefined,
    nonFinite: 'stop',
    callbacks: undefined,
  };
  const rows = batch.kind === 'table' ? batch : undefined;
  const target = rows && targetOf({ ...rest, train: rows }, job.loss);
  return {
    job: heartJob,
    plan: await planRun(heartJob, options, cut),
    data: cut,
    rows,
    bounds: rows && target && lossBounds(rows, target, job.loss.lossName),
    lr: largestRate(whole),
  };
}

/** Learns the batch by heart with a constant rate, as far as it goes in 400 updates. */
export async function learnByHeart(heart: Heart, lr: number, options: TrainOptions): Promise<Attempt> {
  const losses: number[] = [];
  let accuracy: number | undefined;
  let first = Number.NaN;
  const job: Job = {
    ...heart.job,
    optimizer: { ...heart.job.optimizer, lr },
    callbacks: {
      onSteps: ([record]) => {
        if (Number.isNaN(first)) first = record.loss;
      },
      onEvaluation: ({ metrics }, control) => {
        losses.push(metrics['val.loss']);
        accuracy = metrics['val.accuracy'];
        if (isLearnt(heart, first, metrics['val.loss'])) control.stop('learnt by heart');
      },
    },
  };
  // The rows lie in the order of the steps: each batch is all of them.
  const plan = { ...(await planRun(job, options, heart.data)), shuffle: false };
  const attempt = (more: Pick<Attempt, 'steps' | 'parameters'>): Attempt => {
    const learnt = isLearnt(heart, first, losses[losses.length - 1] ?? Number.NaN);
    return { lr, first, losses, accuracy, learnt, ...more };
  };
  try {
    const { step, parameters } = await trainPlan(plan, options);
    return attempt({ steps: step, parameters });
  } catch (error) {
    if (!(error instanceof LockstepError && error.code === 'E_NON_FINITE')) throw error;
    losses.push(Number.NaN);
    return attempt({ steps: EVERY * losses.length });
  }
}

/** Factors of the rate to try when the job's did not do: down and down where the loss went up, else one up and one down. */
export function otherRates({ first, losses }: Attempt): readonly number[] {
  return losses[losses.length - 1] < first ? [10, 0.1] : [0.1, 0.01, 1e-3, 1e-4];
}

function isLearnt({ bounds }: Heart, first: number, loss: number): boolean {
  const floor = bounds?.floor ?? 0;
  // Rows of one class (rare events) leave nothing between the best constant and the floor: then the first loss counts.
  const start = bounds && bounds.constant - floor > 1e-6 ? bounds.constant : first;
  return start > floor && loss <= floor + (1 - LEARNT) * (start - floor);
}

/** Of a schedule, sampled. */
function largestRate({ optimizer: { schedule }, compiled: { totalSteps } }: RunPlan): number {
  const samples = Math.min(1000, totalSteps);
  let largest = 0;
  for (let i = 0; i < samples; i++) {
    largest = Math.max(largest, lrAt(schedule, 1 + Math.floor((i * totalSteps) / samples), totalSteps));
  }
  return largest;
}
