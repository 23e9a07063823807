/** The schedules as data: what each may hold, with defaults and limits. src/optim/schedules.ts says what they mean. */
import { z } from 'zod';

const positive = z.number().gt(0);
const notNegative = z.number().min(0);
const count = z.int().min(1);
/** Of a rate, a number in (0, 1]. */
const shrink = positive.max(1);

export const SCHEDULES = {
  linearDecay: z.strictObject({
    kind: z.literal('linearDecay'),
    initial: positive,
    final: notNegative.default(0),
    steps: count.optional(),
  }),
  stepDecay: z.strictObject({
    kind: z.literal('stepDecay'),
    initial: positive,
    every: count,
    factor: shrink.default(0.1),
  }),
  multiStepDecay: z
    .strictObject({
      kind: z.literal('multiStepDecay'),
      initial: positive,
      milestones: z.array(count).min(1),
      factor: shrink.default(0.1),
    })
    .refine(({ milestones }) => milestones.every((step, i) => i === 0 || step > milestones[i - 1]), {
      path: ['milestones'],
      message: 'numbers of updates that grow',
    }),
  piecewiseConstant: z
    .strictObject({
      kind: z.literal('piecewiseConstant'),
      boundaries: z.array(count).min(1),
      values: z.array(positive),
    })
    .refine(({ boundaries }) => boundaries.every((step, i) => i === 0 || step > boundaries[i - 1]), {
      path: ['boundaries'],
      message: 'numbers of updates that grow',
    })
    .refine(({ boundaries, values }) => values.length === boundaries.length + 1, {
      path: ['values'],
      message: 'one more than there are boundaries',
    }),
  exponentialDecay: z.strictObject({
    kind: z.literal('exponentialDecay'),
    initial: positive,
    factor: shrink,
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
  polynomialDecay: z.strictObject({
    kind: z.literal('polynomialDecay'),
    initial: positive,
    final: notNegative.default(0),
    power: positive.default(1),
    steps: count.optional(),
  }),
  inverseTimeDecay: z.strictObject({
    kind: z.literal('inverseTimeDecay'),
    initial: positive,
    decayRate: notNegative.default(1),
    every: count,
  }),
  cosineDecay: z.strictObject({
    kind: z.literal('cosineDecay'),
    initial: positive,
    final: notNegative.default(0),
    steps: count.optional(),
  }),
  cosineRestarts: z.strictObject({
    kind: z.literal('cosineRestarts'),
    initial: positive,
    final: notNegative.default(0),
    firstSteps: count,
    lengthFactor: z.number().min(1).default(1),
    peakFactor: shrink.default(1),
  }),
  oneCycle: z.strictObject({
    kind: z.literal('oneCycle'),
    peak: positive,
    pctStart: z.number().min(0).max(1).default(0.3),
    divFactor: z.number().min(1).default(25),
    finalDivFactor: z.number().min(1).default(1e4),
    anneal: z.enum(['cos', 'linear']).default('cos'),
    steps: count.optional(),
  }),
  cyclic: z
    .strictObject({
      kind: z.literal('cyclic'),
      low: notNegative,
      high: positive,
      stepsUp: count.default(2000),
      stepsDown: count.optional(),
      mode: z.enum(['triangular', 'triangular2', 'expRange']).default('triangular'),
      gamma: shrink.default(1),
    })
    .refine(({ low, high }) => high > low, { path: ['high'], message: 'a rate above low' }),
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
  warmupStableDecay: z
    .strictObject({
      kind: z.literal('warmupStableDecay'),
      peak: positive,
      warmupSteps: z.int().min(0),
      decaySteps: count,
      totalSteps: count.optional(),
      final: notNegative.default(0),
      shape: z.enum(['linear', 'cosine', 'sqrt']).default('linear'),
    })
    .refine((o) => o.totalSteps === undefined || o.totalSteps >= o.warmupSteps + o.decaySteps, {
      path: ['totalSteps'],
      message: 'at least warmupSteps + decaySteps (both are part of it)',
    }),
  reduceOnPlateau: z
    .strictObject({
      kind: z.literal('reduceOnPlateau'),
      initial: positive,
      monitor: z.string().default('val.loss'),
      mode: z.enum(['min', 'max']).optional(),
      factor: positive.lt(1).default(0.1),
      patience: z.int().min(0).default(10),
      threshold: notNegative.default(1e-4),
      cooldown: z.int().min(0).default(0),
      minLr: notNegative.default(0),
    })
    .refine(({ initial, minLr }) => minLr <= initial, { path: ['minLr'], message: 'a rate of at most initial' }),
};

export interface Warmup {
  readonly kind: 'warmup';
  readonly steps: number;
  readonly from: number;
  readonly after: Schedule;
}

type Schedules = typeof SCHEDULES;
export type ScheduleKind = keyof Schedules;
type Of<K extends ScheduleKind> = K extends 'warmup' ? Warmup : Readonly<z.output<Schedules[K]>>;

/** A validated schedule with its defaults filled in; plain data. */
export type Schedule = number | { [K in ScheduleKind]: Of<K> }[ScheduleKind];
/** The rule by which the rate falls when an evaluated metric stands still. */
export type PlateauRule = Of<'reduceOnPlateau'>;
export type OneCycle = Of<'oneCycle'>;
export type Cyclic = Of<'cyclic'>;
export type CosineRestarts = Of<'cosineRestarts'>;
export type WarmupStableDecay = Of<'warmupStableDecay'>;

export const isScheduleKind = (kind: string): kind is ScheduleKind => Object.hasOwn(SCHEDULES, kind);
