import type { Sampler } from '../data/sampler.ts';
import type { Session } from './session.ts';

/**
 * Local steps: with `syncEvery` H > 1 a step of the coordinator is a round of H *inner steps*, which every node makes by itself
 * (local-steps.ts). Which steps of the job these are. Pure.
 */
export interface InnerSteps {
  readonly first: number;
  readonly count: number;
}

/** In a round. */
export const MOST_LOCAL_STEPS = 1_000_000;

/** What a job consists of, in steps. */
export interface Course {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/** The steps of the job that make up round `round` (from 1). A round ends with the epoch, so the last of an epoch may be shorter. */
export function innerSteps(round: number, every: number, { stepsPerEpoch, totalSteps }: Course): InnerSteps {
  const perEpoch = Math.ceil(stepsPerEpoch / every);
  const epoch = Math.floor((round - 1) / perEpoch);
  const before = (round - 1 - epoch * perEpoch) * every;
  const first = epoch * stepsPerEpoch + before + 1;
  return { first, count: Math.min(every, stepsPerEpoch - before, totalSteps - first + 1) };
}

/** The last of them. */
export function lastInnerStep(round: number, every: number, course: Course): number {
  const { first, count } = innerSteps(round, every, course);
  return first + count - 1;
}

/** The same course counted in rounds. */
export function courseInRounds(every: number, { stepsPerEpoch, totalSteps }: Course): Course {
  const perEpoch = Math.ceil(stepsPerEpoch / every);
  const whole = Math.floor(totalSteps / stepsPerEpoch);
  return {
    stepsPerEpoch: perEpoch,
    totalSteps: whole * perEpoch + Math.ceil((totalSteps - whole * stepsPerEpoch) / every),
  };
}

/** Rows of the batches that a step takes: one, or those of its inner steps, the largest first. */
export function batchesOf(
  { syncEvery = 1, totalSteps }: Pick<Session, 'syncEvery' | 'totalSteps'>,
  sampler: Pick<Sampler, 'batchRows' | 'stepsPerEpoch'>,
  step: number,
): number[] {
  if (syncEvery === 1) return [sampler.batchRows(step)];
  const { first, count } = innerSteps(step, syncEvery, { stepsPerEpoch: sampler.stepsPerEpoch, totalSteps });
  return Array.from({ length: count }, (_, i) => sampler.batchRows(first + i));
}
