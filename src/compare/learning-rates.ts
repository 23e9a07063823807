import type { LearningRate } from '../optim/description.ts';
import { lrAt, parseSchedule } from '../optim/schedules.ts';
import type { Objective, TrialResult } from './contract.ts';
import { ranked } from './ranking.ts';

/** Two learning rates a decade. */
const STEP = Math.sqrt(10);
/** Rates nearer than this are the same for tuning. */
const SMALLEST_GAP = 1.3;
const GRID_POINTS = 5;

/** Of an optimizer that has no default. */
export const COMMON_RATE = 0.03;

/** Two significant digits: rates are printed, typed and found again. */
export function roundRate(rate: number): number {
  return Number(rate.toPrecision(2));
}

/** Five rates, half a decade apart, around `centre`. */
export function gridAround(centre: number): number[] {
  const rates = [centre];
  for (let i = 0; i < GRID_POINTS >> 1; i++) {
    rates.unshift(rates[0] / STEP);
    rates.push(rates[rates.length - 1] * STEP);
  }
  return rates.map(roundRate);
}

/**
 * The next rate to try: half a decade beyond the border where the best result lies on it, else between the best and its better
 * neighbour. Undefined where the neighbours are so near that nothing is left to try.
 *
 * @param tested every rate tried for this optimizer so far.
 * @param results those of the current rung.
 */
export function nextRate(
  tested: readonly number[],
  results: readonly TrialResult[],
  objective: Objective,
): number | undefined {
  const order = ranked(results, objective);
  if (order.length === 0) return undefined;
  const best = order[0].trial.lr;
  const rates = [...new Set(tested)].sort((a, b) => a - b);
  const at = rates.indexOf(best);
  if (at === 0) return roundRate(best / STEP);
  if (at === rates.length - 1) return roundRate(best * STEP);
  const place = (rate: number) => {
    const found = order.findIndex(({ trial }) => trial.lr === rate);
    return found < 0 ? order.length : found;
  };
  const gap = (rate: number) => (rate < best ? best / rate : rate / best);
  const neighbours = [rates[at - 1], rates[at + 1]].sort((a, b) => place(a) - place(b) || gap(b) - gap(a));
  const open = neighbours.find((rate) => gap(rate) >= SMALLEST_GAP * SMALLEST_GAP);
  return open === undefined ? undefined : roundRate(Math.sqrt(best * open));
}

/** Whether the best rate is the lowest or the highest that was tried. */
export function onBorder(best: number, tested: readonly number[]): boolean {
  return best <= Math.min(...tested) || best >= Math.max(...tested);
}

/** Fields of schedules that are learning rates. What this list misses is noticed by `rescaled`. */
const RATE_FIELDS = [
  'initial',
  'final',
  'peak',
  'from',
  'to',
  'base',
  'max',
  'min',
  'low',
  'high',
  'rate',
  'lr',
  'minLr',
];

/** Largest learning rate in a run. */
export function largestRate(lr: LearningRate, totalSteps: number): number {
  if (typeof lr === 'number') return lr;
  const schedule = parseSchedule(lr);
  return Math.max(...probes(totalSteps).map((step) => lrAt(schedule, step, totalSteps)));
}

/**
 * The learning rate with the same course, but `rate` as its largest value. Undefined for a schedule that does not scale (one
 * that depends on more than the step, for example); a constant rate is always right.
 */
export function rescaled(lr: LearningRate, rate: number, totalSteps: number): LearningRate | undefined {
  if (typeof lr === 'number') return rate;
  try {
    const factor = rate / largestRate(lr, totalSteps);
    const scaled = scaleFields(lr, factor) as LearningRate;
    const [before, after] = [parseSchedule(lr), parseSchedule(scaled)];
    const same = probes(totalSteps).every((step) => {
      const expected = factor * lrAt(before, step, totalSteps);
      return Math.abs(lrAt(after, step, totalSteps) - expected) <= 1e-9 * rate;
    });
    return same ? scaled : undefined;
  } catch {
    return undefined; // a scaled field went out of its limits
  }
}

/** Fields of schedules that count updates. */
const STEP_FIELDS = ['steps', 'every', 'firstSteps', 'stepsUp', 'stepsDown', 'warmupSteps', 'decaySteps', 'totalSteps'];

/** The same course in a run of `share` of the length; what cannot be cut so far stays as it is. */
export function shortened(lr: LearningRate, share: number): LearningRate {
  const cut = (count: number) => (count === 0 ? 0 : Math.max(1, Math.round(count * share)));
  const shorten = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || !('kind' in value)) return value;
    const fields = Object.entries(value).map(([name, field]) => {
      if (typeof field === 'number' && STEP_FIELDS.includes(name)) return [name, cut(field)];
      if ((name === 'milestones' || name === 'boundaries') && Array.isArray(field)) return [name, field.map(cut)];
      return [name, shorten(field)];
    });
    const short = Object.fromEntries(fields);
    // What falls with every few updates cannot fall more often than with each: it falls further then.
    if (value.kind === 'exponentialDecay' && 'factor' in value && typeof value.factor === 'number') {
      const every = 'every' in value && typeof value.every === 'number' ? value.every : 1;
      return { ...short, every: cut(every), factor: value.factor ** (cut(every) / (every * share)) };
    }
    return short;
  };
  try {
    const short = shorten(lr) as LearningRate;
    parseSchedule(short);
    return short;
  } catch {
    return lr;
  }
}

function scaleFields(value: unknown, factor: number): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]: [string, unknown]) => {
      if (typeof field === 'number' && RATE_FIELDS.includes(name)) return [name, field * factor];
      if (name === 'values' && Array.isArray(field)) return [name, field.map((rate) => rate * factor)];
      const isSchedule = typeof field === 'object' && field !== null && 'kind' in field;
      if (isSchedule) return [name, scaleFields(field, factor)];
      return [name, name === 'after' && typeof field === 'number' ? field * factor : field];
    }),
  );
}

function probes(totalSteps: number): number[] {
  const count = Math.min(totalSteps, 1000);
  return Array.from({ length: count }, (_, i) => 1 + Math.floor((i * totalSteps) / count));
}
