/**
 * Learning-rate schedules: plain data, and one pure function from the number of the update to the rate.
 *
 * With t = step - 1 updates behind it, T updates in the run (or `steps`, where a schedule has its own) and x = min(t / T, 1):
 *
 *     constant           a plain number
 *     linearDecay        initial + (final - initial) * x
 *     stepDecay          initial * factor^floor(t / every)
 *     multiStepDecay     initial * factor^(number of milestones <= t)
 *     piecewiseConstant  values[number of boundaries <= t]
 *     exponentialDecay   initial * factor^(t / every)
 *     exponentialGrowth  initial * (final / initial)^(min(t / (T - 1), 1))
 *     polynomialDecay    final + (initial - final) * (1 - x)^power
 *     inverseTimeDecay   initial / (1 + decayRate * t / every)
 *     cosineDecay        final + (initial - final) * (1 + cos(pi * x)) / 2
 *     cosineRestarts     cosineDecay of firstSteps * lengthFactor^i updates from initial * peakFactor^i, i = 0, 1, 2 ...
 *     oneCycle           peak / divFactor to peak in pctStart * T - 1 updates, to peak / divFactor / finalDivFactor at T - 1
 *     cyclic             low + (high - low) * (1 - |distance from the top of the cycle|) * height of the cycle
 *     warmup             from + (w - from) * step / steps   for step <= steps, w = first rate of `after`;
 *                        after that `after`, whose step 1 is step steps + 1 and whose T is T - steps
 *     warmupCosine       warmup to `peak`, then cosineDecay to `final` at totalSteps
 *     warmupStableDecay  warmup to `peak`, peak, and over the last decaySteps of totalSteps down to `final`
 *     reduceOnPlateau    initial; the trainer multiplies it by what its evaluations gave (src/train/plateau.ts)
 *
 * Past its end a schedule keeps its last value (but cosineRestarts and cyclic have no end). Cosine and restarts: Loshchilov &
 * Hutter, "SGDR", arXiv:1608.03983, 2016; warm-up: Goyal et al., arXiv:1706.02677, 2017; cyclic: Smith, arXiv:1506.01186, 2015;
 * one cycle: Smith & Topin, arXiv:1708.07120, 2017; warm-up, stable, decay: Hu et al., "MiniCPM", arXiv:2404.06395, 2024, its
 * 1 - sqrt shape: Haegele et al., arXiv:2405.18392, 2024. Against PyTorch and Keras: their decays read the same (t counts from 0),
 * oneCycle, cyclic, cosineRestarts and reduceOnPlateau give PyTorch's numbers; a warm-up from 0 wastes no update here, because
 * the first one already has 1/steps of the rate.
 */
import type { ZodType } from 'zod';
import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { cos, pow } from '../kernels/math.ts';
import { parseOptions, show, unknownOption } from './options.ts';
import {
  type CosineRestarts,
  type Cyclic,
  isScheduleKind,
  type OneCycle,
  type PlateauRule,
  SCHEDULES,
  type Schedule,
  type WarmupStableDecay,
} from './schedule-kinds.ts';

export type { PlateauRule, Schedule } from './schedule-kinds.ts';

/**
 * Validates a learning rate, fills in defaults. `where` names it in errors (E_OPTION): unknown schedule or option with the
 * closest known name, or a value out of range.
 */
export function parseSchedule(lr: unknown, where = 'lr'): Schedule {
  if (typeof lr === 'number') return parseOptions(z.number().gt(0), lr, where);
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

/** The rule that looks at evaluations, if the schedule (or what follows its warm-up) is one. */
export function plateauRule(schedule: Schedule): PlateauRule | undefined {
  if (typeof schedule === 'number') return undefined;
  if (schedule.kind === 'warmup') return plateauRule(schedule.after);
  return schedule.kind === 'reduceOnPlateau' ? schedule : undefined;
}

/** Learning rate of update `step` (1 for the first) in a run of `totalSteps`. Pure, the same bits on every machine. */
export function lrAt(schedule: Schedule, step: number, totalSteps: number): number {
  if (typeof schedule === 'number') return schedule;
  const t = step - 1;
  switch (schedule.kind) {
    case 'linearDecay':
      return line(schedule.initial, schedule.final, t, schedule.steps ?? totalSteps);
    case 'stepDecay':
      return schedule.initial * pow(schedule.factor, Math.floor(t / schedule.every));
    case 'multiStepDecay':
      return schedule.initial * pow(schedule.factor, passed(schedule.milestones, t));
    case 'piecewiseConstant':
      return schedule.values[passed(schedule.boundaries, t)];
    case 'exponentialDecay':
      return schedule.initial * pow(schedule.factor, t / schedule.every);
    case 'exponentialGrowth': {
      const { initial, final, steps = totalSteps } = schedule;
      return t >= steps - 1 ? final : initial * pow(final / initial, t / (steps - 1));
    }
    case 'polynomialDecay': {
      const { initial, final, power, steps = totalSteps } = schedule;
      return t >= steps ? past(initial, final, t) : final + (initial - final) * pow(1 - t / steps, power);
    }
    case 'inverseTimeDecay':
      return schedule.initial / (1 + (schedule.decayRate * t) / schedule.every);
    case 'cosineDecay':
      return halfCosine(schedule.initial, schedule.final, t, schedule.steps ?? totalSteps);
    case 'cosineRestarts':
      return restarting(schedule, t);
    case 'oneCycle':
      return oneCycle(schedule, t, schedule.steps ?? totalSteps);
    case 'cyclic':
      return cyclic(schedule, t);
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
    case 'warmupStableDecay':
      return stableDecay(schedule, t, schedule.totalSteps ?? totalSteps);
    case 'reduceOnPlateau':
      return schedule.initial;
    default:
      return schedule satisfies never;
  }
}

/** How many of these numbers of updates are made. */
function passed(milestones: readonly number[], t: number): number {
  let count = 0;
  for (const milestone of milestones) if (milestone <= t) count += 1;
  return count;
}

const rise = (from: number, to: number, step: number, steps: number): number => from + (to - from) * (step / steps);

// A run no longer than its warm-up leaves no steps here, but the warm-up still asks where to rise to.
const past = (initial: number, final: number, t: number): number => (t === 0 ? initial : final);

function line(initial: number, final: number, t: number, steps: number): number {
  return t >= steps ? past(initial, final, t) : initial + (final - initial) * (t / steps);
}

function halfCosine(initial: number, final: number, t: number, steps: number): number {
  if (t >= steps) return past(initial, final, t);
  return final + (initial - final) * 0.5 * (1 + cos(Math.PI * (t / steps)));
}

function restarting({ initial, final, firstSteps, lengthFactor, peakFactor }: CosineRestarts, t: number): number {
  let [round, begun, length] = [0, 0, firstSteps];
  if (lengthFactor === 1) {
    round = Math.floor(t / firstSteps);
    begun = round * firstSteps;
  } else {
    while (t >= begun + length) {
      begun += length;
      length *= lengthFactor;
      round += 1;
    }
  }
  const peak = Math.max(final, initial * pow(peakFactor, round));
  return halfCosine(peak, final, t - begun, length);
}

function oneCycle({ peak, pctStart, divFactor, finalDivFactor, anneal }: OneCycle, t: number, steps: number): number {
  const between = anneal === 'cos' ? halfCosine : line;
  const up = pctStart * steps - 1;
  const low = peak / divFactor;
  if (t < up) return between(low, peak, t, up);
  const from = Math.max(0, up);
  return between(peak, low / finalDivFactor, t - from, steps - 1 - from);
}

function cyclic({ low, high, stepsUp, stepsDown = stepsUp, mode, gamma }: Cyclic, t: number): number {
  const cycle = Math.floor(t / (stepsUp + stepsDown));
  const into = t - cycle * (stepsUp + stepsDown);
  const height = into <= stepsUp ? into / stepsUp : (stepsUp + stepsDown - into) / stepsDown;
  const scale = mode === 'triangular' ? 1 : mode === 'triangular2' ? pow(0.5, cycle) : pow(gamma, t);
  return low + (high - low) * height * scale;
}

function stableDecay(schedule: WarmupStableDecay, t: number, totalSteps: number): number {
  const { peak, warmupSteps, decaySteps, final, shape } = schedule;
  if (t < warmupSteps) return rise(0, peak, t + 1, warmupSteps);
  const into = t - Math.max(warmupSteps, totalSteps - decaySteps);
  if (into <= 0) return peak;
  if (shape === 'linear') return line(peak, final, into, decaySteps);
  if (shape === 'cosine') return halfCosine(peak, final, into, decaySteps);
  return into >= decaySteps ? final : peak + (final - peak) * Math.sqrt(into / decaySteps);
}
