/**
 * Learning-rate schedules: plain data, and one pure function from the number of the update to the rate.
 *
 * With t = step - 1 updates behind it and T updates in the run (or `steps`, where a schedule has its own):
 *
 *     constant           a plain number
 *     stepDecay          initial * factor^floor(t / every)
 *     exponentialDecay   initial * factor^(t / every)
 *     exponentialGrowth  initial * (final / initial)^(min(t / (T - 1), 1))
 *     cosineDecay        final + (initial - final) * (1 + cos(pi * min(t / T, 1))) / 2
 *     warmup             from + (w - from) * step / steps   for step <= steps, w = first rate of `after`;
 *                        after that `after`, whose step 1 is step steps + 1 and whose T is T - steps
 *     warmupCosine       warmup to `peak`, then cosineDecay to `final` at totalSteps
 *
 * Past its end a schedule keeps its last value. Cosine: Loshchilov & Hutter, "SGDR", arXiv:1608.03983, 2016; warm-up: Goyal
 * et al., arXiv:1706.02677, 2017. Against PyTorch and Keras: their decays read the same (t counts from 0); a warm-up from 0
 * wastes no update here, because the first one already has 1/steps of the rate.
 */
import { type ZodType, z } from 'zod';
import { LockstepError } from '../errors.ts';
import { cos, pow } from '../kernels/math.ts';
import type { ScheduleDescription } from './contract.ts';
import type { LearningRate } from './description.ts';
import { parseOptions, show, unknownOption } from './options.ts';

/** A validated schedule with its defaults filled in; plain data. */
export type Schedule = number | StepDecay | ExponentialDecay | ExponentialGrowth | CosineDecay | Warmup | WarmupCosine;

interface StepDecay {
  readonly kind: 'stepDecay';
  readonly initial: number;
  readonly every: number;
  readonly factor: number;
}
interface ExponentialDecay {
  readonly kind: 'exponentialDecay';
  readonly initial: number;
  readonly factor: number;
  readonly every: number;
}
interface ExponentialGrowth {
  readonly kind: 'exponentialGrowth';
  readonly initial: number;
  readonly final: number;
  readonly steps?: number;
}
interface CosineDecay {
  readonly kind: 'cosineDecay';
  readonly initial: number;
  readonly final: number;
  readonly steps?: number;
}
interface Warmup {
  readonly kind: 'warmup';
  readonly steps: number;
  readonly from: number;
  readonly after: Schedule;
}
interface WarmupCosine {
  readonly kind: 'warmupCosine';
  readonly peak: number;
  readonly warmupSteps: number;
  readonly totalSteps?: number;
  readonly final: number;
}

/** The rate is multiplied by `factor` (default 0.1) after each `every` updates. */
export function stepDecay(options: { initial: number; every: number; factor?: number }): ScheduleDescription {
  return { kind: 'stepDecay', ...options };
}

/** The rate falls smoothly by `factor` in `every` updates (default 1). */
export function exponentialDecay(options: { initial: number; factor: number; every?: number }): ScheduleDescription {
  return { kind: 'exponentialDecay', ...options };
}

/**
 * A sweep from `initial` to `final` by the same factor in each of `steps` updates (default: all of the run), for learning-rate range
 * tests: Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, 2015. The last update has `final`.
 */
export function exponentialGrowth(options: { initial: number; final: number; steps?: number }): ScheduleDescription {
  return { kind: 'exponentialGrowth', ...options };
}

/** Half a cosine from `initial` to `final` (default 0) in `steps` updates (default: all of the run). */
export function cosineDecay(options: { initial: number; final?: number; steps?: number }): ScheduleDescription {
  return { kind: 'cosineDecay', ...options };
}

/** A linear rise from `from` (default 0) in `steps` updates to where `after` begins; then `after`. steps 0: no warm-up. */
export function warmup(options: { steps: number; from?: number; after: LearningRate }): ScheduleDescription {
  return { kind: 'warmup', ...options };
}

/** A linear rise to `peak` in `warmupSteps` updates, half a cosine to `final` (default 0) at `totalSteps` (default: the run's). */
export function warmupCosine(options: {
  peak: number;
  warmupSteps: number;
  totalSteps?: number;
  final?: number;
}): ScheduleDescription {
  return { kind: 'warmupCosine', ...options };
}

const positive = z.number().gt(0);
const notNegative = z.number().min(0);
const count = z.int().min(1);

const SCHEDULES = {
  stepDecay: z.strictObject({
    kind: z.literal('stepDecay'),
    initial: positive,
    every: count,
    factor: positive.max(1).default(0.1),
  }),
  exponentialDecay: z.strictObject({
    kind: z.literal('exponentialDecay'),
    initial: positive,
    factor: positive.max(1),
    every: count.default(1),
  }),
  exponentialGrowth: z
    .strictObject({
      kind: z.literal('exponentialGrowth'),
      initial: positive,
      final: positive,
      steps: count.optional(),
    })
    .refine((o) => o.final > o.initial, { path: ['final'], message: 'a rate above initial' }),
  cosineDecay: z.strictObject({
    kind: z.literal('cosineDecay'),
    initial: positive,
    final: notNegative.default(0),
    steps: count.optional(),
  }),
  warmup: z
    .strictObject({
      kind: z.literal('warmup'),
      steps: z.int().min(0),
      from: notNegative.default(0),
      after: z.unknown().optional(),
    })
    .transform((o): Warmup => ({ ...o, after: 0 })), // parseSchedule puts the real one in
  warmupCosine: z
    .strictObject({
      kind: z.literal('warmupCosine'),
      peak: positive,
      warmupSteps: z.int().min(0),
      totalSteps: count.optional(),
      final: notNegative.default(0),
    })
    .refine((o) => o.totalSteps === undefined || o.totalSteps > o.warmupSteps, {
      path: ['totalSteps'],
      message: 'a number of updates above warmupSteps (the warm-up is part of them)',
    }),
} satisfies Record<string, ZodType<Schedule>>;

/**
 * Validates a learning rate, fills in defaults. `where` names it in errors (E_OPTION): unknown schedule or option with the
 * closest known name, or a value out of range.
 */
export function parseSchedule(lr: unknown, where = 'lr'): Schedule {
  if (typeof lr === 'number') return parseOptions(positive, lr, where);
  if (typeof lr !== 'object' || lr === null || !('kind' in lr) || typeof lr.kind !== 'string') {
    throw new LockstepError('E_OPTION', {
      where,
      expected: 'a number > 0 or a schedule',
      got: show(lr),
      fix: 'write a number, or a schedule such as warmupCosine({ peak: 1e-3, warmupSteps: 100 })',
    });
  }
  if (!isScheduleKind(lr.kind)) throw unknownOption(lr.kind, Object.keys(SCHEDULES), `${where}.kind`);
  const schema: ZodType<Schedule> = SCHEDULES[lr.kind];
  const schedule = parseOptions(schema, lr, where);
  if (typeof schedule === 'object' && schedule.kind === 'warmup') {
    return { ...schedule, after: parseSchedule('after' in lr ? lr.after : undefined, `${where}.after`) };
  }
  return schedule;
}

/** From step `from` on, the schedule times `factor`. */
export interface RateChange {
  readonly from: number;
  readonly factor: number;
}

/** The factor that holds at a step; 1 before the first change. */
export function rateFactor(changes: readonly RateChange[], step: number): number {
  let factor = 1;
  for (const change of changes) if (change.from <= step) factor = change.factor;
  return factor;
}

const isScheduleKind = (kind: string): kind is keyof typeof SCHEDULES => Object.hasOwn(SCHEDULES, kind);

/** Learning rate of update `step` (1 for the first) in a run of `totalSteps`. Pure, the same bits on every machine. */
export function lrAt(schedule: Schedule, step: number, totalSteps: number): number {
  if (typeof schedule === 'number') return schedule;
  const t = step - 1;
  switch (schedule.kind) {
    case 'stepDecay':
      return schedule.initial * pow(schedule.factor, Math.floor(t / schedule.every));
    case 'exponentialDecay':
      return schedule.initial * pow(schedule.factor, t / schedule.every);
    case 'exponentialGrowth': {
      const { initial, final, steps = totalSteps } = schedule;
      return t >= steps - 1 ? final : initial * pow(final / initial, t / (steps - 1));
    }
    case 'cosineDecay':
      return halfCosine(schedule.initial, schedule.final, t, schedule.steps ?? totalSteps);
    case 'warmup': {
      const { steps, from, after } = schedule;
      if (step > steps) return lrAt(after, step - steps, totalSteps - steps);
      return rise(from, lrAt(after, 1, totalSteps - steps), step, steps);
    }
    case 'warmupCosine': {
      const { peak, warmupSteps, final } = schedule;
      if (step <= warmupSteps) return rise(0, peak, step, warmupSteps);
      return halfCosine(peak, final, t - warmupSteps, (schedule.totalSteps ?? totalSteps) - warmupSteps);
    }
    default:
      return schedule satisfies never;
  }
}

const rise = (from: number, to: number, step: number, steps: number): number => from + (to - from) * (step / steps);

function halfCosine(initial: number, final: number, t: number, steps: number): number {
  // A run no longer than its warm-up leaves no steps here, but the warm-up still asks where to rise to.
  if (t >= steps) return t === 0 ? initial : final;
  return final + (initial - final) * 0.5 * (1 + cos(Math.PI * (t / steps)));
}
