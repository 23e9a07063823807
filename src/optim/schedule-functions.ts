/** The functions that write schedules: plain data with the options as given; defaults stand in schedule-kinds.ts. */
import type { ScheduleDescription } from './contract.ts';
import type { LearningRate } from './description.ts';

/** A straight line from `initial` to `final` (default 0) in `steps` updates (default: all of the run). */
export function linearDecay(options: { initial: number; final?: number; steps?: number }): ScheduleDescription {
  return { kind: 'linearDecay', ...options };
}

/** The rate is multiplied by `factor` (default 0.1) after each `every` updates. */
export function stepDecay(options: { initial: number; every: number; factor?: number }): ScheduleDescription {
  return { kind: 'stepDecay', ...options };
}

/** The rate is multiplied by `factor` (default 0.1) after each of these numbers of updates, which must grow. */
export function multiStepDecay(options: {
  initial: number;
  milestones: readonly number[];
  factor?: number;
}): ScheduleDescription {
  return { kind: 'multiStepDecay', ...options };
}

/** One rate after the other: `values[i]` until `boundaries[i]` updates are made, the last to the end. Boundaries must grow. */
export function piecewiseConstant(options: {
  boundaries: readonly number[];
  values: readonly number[];
}): ScheduleDescription {
  return { kind: 'piecewiseConstant', ...options };
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

/** From `initial` to `final` (default 0) as (1 - share of `steps`)^`power`; power 1 (default) is a line, steps default to the run's. */
export function polynomialDecay(options: {
  initial: number;
  final?: number;
  power?: number;
  steps?: number;
}): ScheduleDescription {
  return { kind: 'polynomialDecay', ...options };
}

/** initial / (1 + decayRate * updates / every); decayRate 1 (default): half of it after `every` updates, a third after twice as many. */
export function inverseTimeDecay(options: { initial: number; every: number; decayRate?: number }): ScheduleDescription {
  return { kind: 'inverseTimeDecay', ...options };
}

/** Half a cosine from `initial` to `final` (default 0) in `steps` updates (default: all of the run). */
export function cosineDecay(options: { initial: number; final?: number; steps?: number }): ScheduleDescription {
  return { kind: 'cosineDecay', ...options };
}

/**
 * Half a cosine to `final` (default 0) again and again: the first takes `firstSteps` updates, each further one `lengthFactor` times
 * as many (>= 1, default 1) from `peakFactor` times as high (at most 1, default 1).
 */
export function cosineRestarts(options: {
  initial: number;
  firstSteps: number;
  final?: number;
  lengthFactor?: number;
  peakFactor?: number;
}): ScheduleDescription {
  return { kind: 'cosineRestarts', ...options };
}

/**
 * One rise from peak / divFactor (default 25) to `peak` in the first `pctStart` of the run (default 0.3), then down to
 * peak / divFactor / finalDivFactor (default 1e4) at its end (or at `steps`); by cosines ('cos', default) or lines.
 */
export function oneCycle(options: {
  peak: number;
  pctStart?: number;
  divFactor?: number;
  finalDivFactor?: number;
  anneal?: 'cos' | 'linear';
  steps?: number;
}): ScheduleDescription {
  return { kind: 'oneCycle', ...options };
}

/**
 * To and fro between `low` and `high`: up in `stepsUp` updates (default 2000), down in `stepsDown` (default: as many). The height halves
 * with each cycle in mode 'triangular2' and is multiplied by gamma^updates in 'expRange' (default: 'triangular', all alike).
 */
export function cyclic(options: {
  low: number;
  high: number;
  stepsUp?: number;
  stepsDown?: number;
  mode?: 'triangular' | 'triangular2' | 'expRange';
  gamma?: number;
}): ScheduleDescription {
  return { kind: 'cyclic', ...options };
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

/**
 * A linear rise to `peak` in `warmupSteps` updates, then `peak`, and in the last `decaySteps` of `totalSteps` (default: the run's) down
 * to `final` (default 0): by a line (default), half a cosine, or 1 - sqrt(share).
 */
export function warmupStableDecay(options: {
  peak: number;
  warmupSteps: number;
  decaySteps: number;
  totalSteps?: number;
  final?: number;
  shape?: 'linear' | 'cosine' | 'sqrt';
}): ScheduleDescription {
  return { kind: 'warmupStableDecay', ...options };
}

/**
 * `initial`, times `factor` (default 0.1) each time that `monitor` (default 'val.loss') was no better than its best for more than
 * `patience` evaluations (default 10), down to `minLr` (default 0). Better: by more than `threshold` of the best (default 1e-4). For
 * `cooldown` evaluations (default 0) after a reduction nothing counts. Depends on what was evaluated, not on the clock.
 */
export function reduceOnPlateau(options: {
  initial: number;
  monitor?: string;
  mode?: 'min' | 'max';
  factor?: number;
  patience?: number;
  threshold?: number;
  cooldown?: number;
  minLr?: number;
}): ScheduleDescription {
  return { kind: 'reduceOnPlateau', ...options };
}
