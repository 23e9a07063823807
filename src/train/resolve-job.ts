import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { clipSchema } from '../optim/clip.ts';
import { parseOptions, show } from '../optim/options.ts';
import type { Callbacks } from './callbacks.ts';
import type { Job } from './job.ts';

const positive = wholeNumber(1);
/** More shards than this are a slip of the pen: each has its row in the books of a step. */
const MOST_SHARDS = 65_536;

function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER) {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  return z.custom<number>(
    (v) => Number.isSafeInteger(v) && Number(v) >= least && Number(v) <= most,
    `a whole number ${range}`,
  );
}

function callback<F>() {
  return z.custom<NonNullable<F>>((v) => typeof v === 'function', 'a function').optional();
}

const shape = z.strictObject({
  data: z.custom<Job['data']>(
    (v) => isObject(v) && isObject((v as { train?: unknown }).train),
    'the training rows and more: { train: csv(...), validation: 0.1 }',
  ),
  model: z.custom<Job['model']>(
    (v) => typeof v === 'function',
    'a model: sequential(...) or a function of named inputs',
  ),
  loss: z.custom<Job['loss']>((v) => typeof v === 'function', 'a loss such as crossEntropy(), or a function'),
  optimizer: z.custom<Job['optimizer']>(
    (v) => isObject(v) && typeof (v as { kind?: unknown }).kind === 'string',
    'an optimizer such as adam({ lr: 1e-3 })',
  ),
  metrics: z
    .array(z.custom<string | object>((v) => typeof v === 'string' || isObject(v), 'a metric or its name'))
    .optional(),
  clip: clipSchema.default({}),
  batchSize: z.union([z.literal('full'), positive], "'full' or a whole number of at least 1").default(32),
  epochs: positive.optional(),
  steps: positive.optional(),
  seed: wholeNumber(0).default(1),
  shards: wholeNumber(1, MOST_SHARDS).optional(),
  activationBudget: positive.default(64 * 1024 * 1024),
  nonFinite: z.enum(['stop', 'skip']).default('stop'),
  checkpoint: z
    .strictObject({
      everySteps: positive.optional(),
      everyEpochs: positive.optional(),
      everyMinutes: z.number().positive().optional(),
      keepLast: positive.default(2),
      keepBest: z.string().optional(),
    })
    .optional(),
  evaluate: z.strictObject({ everySteps: positive.optional(), everyEpochs: positive.optional() }).default({}),
  earlyStopping: z
    .strictObject({
      monitor: z.string(),
      patience: positive.default(3),
      minDelta: z.number().min(0).default(0),
      mode: z.enum(['min', 'max']).optional(),
    })
    .optional(),
  callbacks: z
    .strictObject({
      onStart: callback<Callbacks['onStart']>(),
      onEvaluation: callback<Callbacks['onEvaluation']>(),
      onEpochEnd: callback<Callbacks['onEpochEnd']>(),
      onSteps: callback<Callbacks['onSteps']>(),
      onEnd: callback<Callbacks['onEnd']>(),
    } satisfies Record<keyof Callbacks, unknown>)
    .default({}),
  deterministic: z.literal('portable').optional(),
});

/** A job with its defaults filled in; they stand here and nowhere else. */
export type ResolvedJob = Omit<z.output<typeof shape>, 'metrics'> & Pick<Job, 'metrics'>;

/** Checks the form of a job. E_JOB names the field, what it should be and what it is. */
export function resolveJob(job: Job): ResolvedJob {
  if (!isObject(job)) {
    throw new LockstepError('E_JOB', {
      where: 'job',
      expected: 'a job',
      got: show(job),
      fix: 'make one with defineJob({ data, model, loss, optimizer, ... })',
    });
  }
  return parseOptions<z.output<typeof shape>>(shape, job, 'job', [], 'E_JOB') as ResolvedJob;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
