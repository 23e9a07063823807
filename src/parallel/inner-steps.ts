import type { Sampler } from '../data/sampler.ts';
import type { Session } from './session.ts';

/**
 * How a coordinator's steps follow from those of the job. With local steps each is a round of `every` H > 1 *inner steps*, which every
 * node makes by itself (local-steps.ts).
 */
export interface Pace {
  readonly every: number;
  /** The first so many steps of the job are rounds of one each. */
  readonly warmup: number;
}

/** Without local steps: they are the same. */
export const EVERY_STEP: Pace = { every: 1, warmup: 0 };

/** In a round, and of a warm-up. */
export const MOST_LOCAL_STEPS = 1_000_000;

/** What a job consists of, in its steps. */
export interface Course {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/** Steps of the job. */
export interface InnerSteps {
  readonly first: number;
  readonly count: number;
}

/**
 * The steps of the job that make up round `round` (from 1). A round ends with the epoch, so the last of an epoch may be shorter; the first
 * after a warm-up goes on to the next multiple of H in its epoch, so that further ones are those of a run without.
 */
export function innerSteps(round: number, { every, warmup }: Pace, course: Course): InnerSteps {
  const { stepsPerEpoch, totalSteps } = course;
  if (round <= warmup) return { first: round, count: 1 };
  const perEpoch = Math.ceil(stepsPerEpoch / every);
  const interval = intervalOf(warmup + 1, every, stepsPerEpoch) + round - warmup - 1;
  const epoch = Math.floor(interval / perEpoch);
  const before = (interval - epoch * perEpoch) * every;
  const end = Math.min(epoch * stepsPerEpoch + Math.min(before + every, stepsPerEpoch), totalSteps);
  const first = Math.max(epoch * stepsPerEpoch + before, warmup) + 1;
  return { first, count: end - first + 1 };
}

/** The last of them. */
export function lastInnerStep(round: number, pace: Pace, course: Course): number {
  const { first, count } = innerSteps(round, pace, course);
  return first + count - 1;
}

/** The round to which a step of the job belongs; 0 for step 0. */
export function roundOf(
  step: number,
  { every, warmup }: Pace,
  { stepsPerEpoch }: Pick<Course, 'stepsPerEpoch'>,
): number {
  if (step <= warmup) return step;
  return warmup + 1 + intervalOf(step, every, stepsPerEpoch) - intervalOf(warmup + 1, every, stepsPerEpoch);
}

/** Number, from 0, of the stretch of at most H steps in which a step lies, when each epoch is cut into such. */
function intervalOf(step: number, every: number, stepsPerEpoch: number): number {
  const epoch = Math.floor((step - 1) / stepsPerEpoch);
  return epoch * Math.ceil(stepsPerEpoch / every) + Math.floor((step - 1 - epoch * stepsPerEpoch) / every);
}

/** Rows of the batches that a step takes: one, or those of its inner steps, the largest first. */
export function batchesOf(
  { pace = EVERY_STEP, totalSteps }: Pick<Session, 'pace' | 'totalSteps'>,
  sampler: Pick<Sampler, 'batchRows' | 'stepsPerEpoch'>,
  step: number,
): number[] {
  if (pace.every === 1) return [sampler.batchRows(step)];
  const { first, count } = innerSteps(step, pace, { stepsPerEpoch: sampler.stepsPerEpoch, totalSteps });
  return Array.from({ length: count }, (_, i) => sampler.batchRows(first + i));
}
