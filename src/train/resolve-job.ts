import { z } from 'zod';
import { closest, LockstepError } from '../errors.ts';
import { clipSchema } from '../optim/clip.ts';
import type { Callbacks } from './callbacks.ts';
import type { Job } from './job.ts';

const positive = z.number().int().positive();
/** More shards than this are a slip of the pen: each has its row in the books of a step. */
const MOST_SHARDS = 65_536;

function callback<F>() {
  return z.custom<NonNullable<F>>((v) => typeof v === 'function', 'a function').optional();
}

const shape = z.strictObject({
  data: z.custom<Job['data']>(
    (v) => isObject(v) && isObject((v as { train?: unknown }).train),
    'data: { train: source }',
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
  metrics: z.array(z.custom<string | object>((v) => typeof v === 'string' || isObject(v), 'a metric name')).optional(),
  clip: clipSchema.default({}),
  batchSize: z.union([z.literal('full'), positive]).default(32),
  epochs: positive.optional(),
  steps: positive.optional(),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(1),
  shards: positive.max(MOST_SHARDS).optional(),
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
  const parsed = shape.safeParse(job);
  if (parsed.success) return parsed.data as ResolvedJob;
  const issue = parsed.error.issues[0];
  const path = ['job', ...issue.path].join('.');
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(issue.path.length === 0 ? shape.shape : nested(issue.path[0]));
    const guess = closest(issue.keys[0], known);
    throw new LockstepError('E_JOB', {
      where: path,
      expected: `only ${known.join(', ')}`,
      got: `unknown field ${issue.keys[0]}`,
      fix: guess ? `did you mean ${guess}?` : 'remove it',
    });
  }
  throw new LockstepError('E_JOB', {
    where: path,
    expected: issue.message.replace(/^Invalid input: expected /, ''),
    got: show(valueAt(job, issue.path)),
    fix: 'correct this field of the job',
  });
}

function nested(key: PropertyKey): object {
  const fields: Record<string, object> = {
    clip: clipSchema.shape,
    checkpoint: { everySteps: 0, everyEpochs: 0, everyMinutes: 0, keepLast: 0, keepBest: 0 },
    evaluate: { everySteps: 0, everyEpochs: 0 },
    earlyStopping: { monitor: 0, patience: 0, minDelta: 0, mode: 0 },
    callbacks: { onStart: 0, onEvaluation: 0, onEpochEnd: 0, onSteps: 0, onEnd: 0 },
  };
  return fields[String(key)] ?? {};
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (isObject(at) ? (at as Record<PropertyKey, unknown>)[key] : undefined),
    value,
  );
}

function show(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
