import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LockstepError } from '../../src/errors.ts';
import {
  cosineDecay,
  cosineRestarts,
  cyclic,
  exponentialDecay,
  exponentialGrowth,
  inverseTimeDecay,
  linearDecay,
  multiStepDecay,
  oneCycle,
  piecewiseConstant,
  polynomialDecay,
  reduceOnPlateau,
  stepDecay,
  warmup,
  warmupCosine,
  warmupStableDecay,
} from '../../src/optim/index.ts';
import { lrAt, parseSchedule, plateauRule } from '../../src/optim/schedules.ts';
import golden from '../golden/schedules-pytorch-1.13.json' with { type: 'json' };

const at = (lr: unknown, step: number, totalSteps = 100): number => lrAt(parseSchedule(lr), step, totalSteps);
const near = (actual: number, expected: number): void =>
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-12 * Math.abs(expected) + 1e-18);
const steps = [1, 2, 3, 9, 10, 11, 50, 99, 100, 101, 1000];

describe('closed forms', () => {
  test('a number is constant', () => {
    for (const step of steps) expect(at(0.25, step)).toBe(0.25);
  });

  test('stepDecay', () => {
    for (const step of steps)
      near(at(stepDecay({ initial: 2, every: 10 }), step), 2 * 0.1 ** Math.floor((step - 1) / 10));
    expect(at(stepDecay({ initial: 2, every: 10, factor: 0.5 }), 10)).toBe(2);
    expect(at(stepDecay({ initial: 2, every: 10, factor: 0.5 }), 11)).toBe(1);
    expect(at(stepDecay({ initial: 2, every: 10, factor: 0.5 }), 21)).toBe(0.5);
  });

  test('piecewiseConstant', () => {
    const rates = piecewiseConstant({ boundaries: [2, 5], values: [1, 0.6, 2] });
    expect([1, 2, 3, 4, 5, 6, 7].map((step) => at(rates, step))).toEqual([1, 1, 0.6, 0.6, 0.6, 2, 2]);
  });

  test('exponentialDecay', () => {
    for (const step of steps) {
      near(at(exponentialDecay({ initial: 0.3, factor: 0.97 }), step), 0.3 * 0.97 ** (step - 1));
      near(at(exponentialDecay({ initial: 0.3, factor: 0.5, every: 7 }), step), 0.3 * 0.5 ** ((step - 1) / 7));
    }
  });

  test('exponentialGrowth', () => {
    const growth = exponentialGrowth({ initial: 1e-6, final: 10 });
    for (const step of steps) near(at(growth, step), 1e-6 * 1e7 ** Math.min(1, (step - 1) / 99));
    expect(at(growth, 100)).toBe(10);
    near(at(exponentialGrowth({ initial: 1, final: 16, steps: 5 }), 3), 4);
    expect(at(exponentialGrowth({ initial: 1, final: 16, steps: 1 }), 1)).toBe(16);
  });

  test('cosineDecay', () => {
    const cosine = (step: number, total: number) =>
      0.1 + 0.9 * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, (step - 1) / total)));
    for (const step of steps) {
      near(at(cosineDecay({ initial: 1, final: 0.1 }), step), cosine(step, 100));
      near(at(cosineDecay({ initial: 1, final: 0.1, steps: 10 }), step), cosine(step, 10));
    }
    near(at(cosineDecay({ initial: 1 }), 51), 0.5);
    expect(at(cosineDecay({ initial: 1 }), 101)).toBe(0);
  });

  test('warmup rises from the first update to where the next schedule begins, then hands over', () => {
    const schedule = warmup({ steps: 4, from: 0.2, after: stepDecay({ initial: 1, every: 3, factor: 0.5 }) });
    const expected = [0.4, 0.6, 0.8, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25];
    for (const [i, value] of expected.entries()) near(at(schedule, i + 1), value);
    expect(at(warmup({ steps: 5, after: 0.1 }), 1)).toBeCloseTo(0.02, 15);
    expect(at(warmup({ steps: 5, after: 0.1 }), 5)).toBe(0.1);
  });

  test('warmupCosine is warmup and cosineDecay', () => {
    for (const total of [undefined, 60]) {
      const decay = cosineDecay({ initial: 3, final: 0.5, ...(total && { steps: total - 10 }) });
      const whole = warmupCosine({ peak: 3, warmupSteps: 10, final: 0.5, ...(total && { totalSteps: total }) });
      for (const step of steps) expect(at(whole, step)).toBe(at(warmup({ steps: 10, after: decay }), step));
    }
  });

  test('warm-ups nest', () => {
    const schedule = warmup({ steps: 2, after: warmup({ steps: 2, from: 1, after: 3 }) });
    expect([1, 2, 3, 4, 5].map((step) => at(schedule, step))).toEqual([1, 2, 2, 3, 3]);
  });
});

/** Schedules with the settings of scripts/golden/schedules.py. */
const AS_IN_PYTORCH = {
  linear: linearDecay({ initial: 0.5, final: 0.05, steps: 20 }),
  multiStep: multiStepDecay({ initial: 0.5, milestones: [3, 10, 11, 25], factor: 0.5 }),
  polynomial: polynomialDecay({ initial: 0.5, power: 2, steps: 30 }),
  restarts: cosineRestarts({ initial: 0.5, final: 0.05, firstSteps: 7 }),
  restartsLonger: cosineRestarts({ initial: 0.5, firstSteps: 5, lengthFactor: 2 }),
  oneCycle: oneCycle({ peak: 0.5 }),
  oneCycleLinear: oneCycle({
    peak: 0.5,
    steps: 30,
    pctStart: 0.5,
    divFactor: 10,
    finalDivFactor: 100,
    anneal: 'linear',
  }),
  triangular: cyclic({ low: 0.1, high: 0.9, stepsUp: 4, stepsDown: 6 }),
  triangular2: cyclic({ low: 0.1, high: 0.9, stepsUp: 5, mode: 'triangular2' }),
  expRange: cyclic({ low: 0.1, high: 0.9, stepsUp: 5, mode: 'expRange', gamma: 0.97 }),
} satisfies Record<keyof typeof golden.schedules, unknown>;

test.each(Object.entries(golden.schedules))("%s gives PyTorch's rates", (name, rates) => {
  const schedule = AS_IN_PYTORCH[name as keyof typeof AS_IN_PYTORCH];
  expect(rates.length).toBeGreaterThanOrEqual(30);
  // PyTorch multiplies its way from rate to rate, so its rounding errors add up.
  for (const [i, rate] of rates.entries()) expect(at(schedule, i + 1, 40)).toBeCloseTo(rate, 12);
});

describe('schedules that PyTorch 1.13 lacks', () => {
  test('inverseTimeDecay', () => {
    for (const step of steps) {
      near(at(inverseTimeDecay({ initial: 0.3, every: 7 }), step), 0.3 / (1 + (step - 1) / 7));
      near(at(inverseTimeDecay({ initial: 0.3, every: 7, decayRate: 2 }), step), 0.3 / (1 + (2 * (step - 1)) / 7));
    }
  });

  test('cosineRestarts from lower and lower', () => {
    const schedule = cosineRestarts({ initial: 1, final: 0.1, firstSteps: 10, lengthFactor: 1.5, peakFactor: 0.5 });
    expect([1, 11, 26].map((step) => at(schedule, step))).toEqual([1, 0.5, 0.25]);
    near(at(schedule, 6), 0.55);
    expect(at(schedule, 200, 1)).toBeGreaterThanOrEqual(0.1); // never below final, though 0.5^6 is
  });

  test('warmupStableDecay: up, level, and down at the end of the run', () => {
    for (const [shape, half] of [
      ['linear', 0.55],
      ['cosine', 0.55],
      ['sqrt', 1 - 0.9 * Math.sqrt(0.5)],
    ] as const) {
      const schedule = warmupStableDecay({ peak: 1, warmupSteps: 4, decaySteps: 20, final: 0.1, shape });
      const expected = [0.25, 0.5, 0.75, 1, 1];
      for (const [i, rate] of expected.entries()) near(at(schedule, i + 1), rate);
      for (const step of [50, 80, 81]) expect(at(schedule, step)).toBe(1);
      expect(at(schedule, 82)).toBeLessThan(1);
      near(at(schedule, 91), half);
      expect(at(schedule, 101)).toBe(0.1);
      expect(at({ ...schedule, totalSteps: 40 }, 41)).toBe(0.1);
    }
    // A run too short for both has no level part, and never jumps.
    expect(at(warmupStableDecay({ peak: 1, warmupSteps: 8, decaySteps: 10 }), 9, 10)).toBe(1);
  });

  test('reduceOnPlateau is its initial rate until evaluations say otherwise, also after a warm-up', () => {
    const schedule = reduceOnPlateau({ initial: 0.2 });
    for (const step of steps) expect(at(schedule, step)).toBe(0.2);
    expect(plateauRule(parseSchedule(warmup({ steps: 3, after: schedule })))).toEqual(parseSchedule(schedule));
    expect(plateauRule(parseSchedule(cosineDecay({ initial: 1 })))).toBeUndefined();
  });
});

describe('edges', () => {
  test('warmupSteps 0 begins at the peak', () => {
    expect(at(warmupCosine({ peak: 1, warmupSteps: 0 }), 1)).toBe(1);
    expect(at(warmup({ steps: 0, after: 0.5 }), 1)).toBe(0.5);
  });

  test('a run shorter than its warm-up only rises', () => {
    const schedule = warmupCosine({ peak: 1, warmupSteps: 100 });
    for (let step = 1; step <= 10; step++) near(at(schedule, step, 10), step / 100);
    near(at(warmup({ steps: 100, after: cosineDecay({ initial: 1 }) }), 10, 10), 0.1);
  });

  test('past its end a schedule keeps its last value', () => {
    expect(at(warmupCosine({ peak: 1, warmupSteps: 10, final: 0.2 }), 101)).toBe(0.2);
    expect(at(warmupCosine({ peak: 1, warmupSteps: 10, totalSteps: 20, final: 0.2 }), 5000)).toBe(0.2);
    expect(at(cosineDecay({ initial: 1, final: 0.2 }), 1, 1)).toBe(1);
  });

  test('every schedule stays between its ends and never rises after the warm-up', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 30 }),
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (warm, run, final) => {
          const schedule = parseSchedule(warmupCosine({ peak: 1, warmupSteps: warm, final }));
          const rates = Array.from({ length: run + 5 }, (_, i) => lrAt(schedule, i + 1, run));
          for (const rate of rates) expect(rate).toBeGreaterThanOrEqual(0);
          for (const rate of rates) expect(rate).toBeLessThanOrEqual(1);
          for (let i = 1; i < warm && i < rates.length; i++) expect(rates[i]).toBeGreaterThan(rates[i - 1]);
          for (let i = Math.max(warm, 1); i < rates.length; i++) expect(rates[i]).toBeLessThanOrEqual(rates[i - 1]);
        },
      ),
    );
  });
});

test.each([
  [0, 'lr: expected a number > 0, got 0'],
  [-1, 'lr: expected a number > 0, got -1'],
  [Number.NaN, 'lr: expected a finite number, got NaN'],
  [Number.POSITIVE_INFINITY, 'lr: expected a finite number, got Infinity'],
  ['0.1', 'lr: expected a number > 0 or a schedule, got "0.1"'],
  [undefined, 'lr: expected a number > 0 or a schedule, got nothing'],
  [{ kind: 'warmupCosin', peak: 1 }, "did you mean 'warmupCosine'"],
  [{ kind: 'cosineDecay', initial: 1, finall: 0 }, "did you mean 'final'"],
  [cosineDecay({ initial: 0 }), 'lr.initial: expected a number > 0, got 0'],
  [stepDecay({ initial: 1, every: 0 }), 'lr.every: expected a number >= 1, got 0'],
  [stepDecay({ initial: 1, every: 1.5 }), 'lr.every: expected an integer, got 1.5'],
  [stepDecay({ initial: 1, every: 1, factor: 2 }), 'lr.factor: expected a number <= 1, got 2'],
  [warmupCosine({ peak: 1, warmupSteps: -1 }), 'lr.warmupSteps: expected a number >= 0, got -1'],
  [warmupCosine({ peak: 1, warmupSteps: 10, totalSteps: 10 }), 'lr.totalSteps: expected a number of updates above'],
  [warmup({ steps: 3, after: cosineDecay({ initial: -1 }) }), 'lr.after.initial: expected a number > 0, got -1'],
  [
    multiStepDecay({ initial: 1, milestones: [5, 5] }),
    'lr.milestones: expected numbers of updates that grow, got [5,5]',
  ],
  [
    piecewiseConstant({ boundaries: [5, 3], values: [1, 2, 3] }),
    'lr.boundaries: expected numbers of updates that grow, got [5,3]',
  ],
  [piecewiseConstant({ boundaries: [5], values: [1] }), 'lr.values: expected one more than there are boundaries'],
  [multiStepDecay({ initial: 1, milestones: [] }), 'lr.milestones: expected a list of at least 1 values'],
  [oneCycle({ peak: 1, pctStart: 1.5 }), 'lr.pctStart: expected a number <= 1, got 1.5'],
  [cyclic({ low: 1, high: 0.5 }), 'lr.high: expected a rate above low, got 0.5'],
  [
    cosineRestarts({ initial: 1, firstSteps: 5, lengthFactor: 0.5 }),
    'lr.lengthFactor: expected a number >= 1, got 0.5',
  ],
  [warmupStableDecay({ peak: 1, warmupSteps: 5, decaySteps: 6, totalSteps: 10 }), 'lr.totalSteps: expected at least'],
  [reduceOnPlateau({ initial: 0.1, factor: 1 }), 'lr.factor: expected a number < 1, got 1'],
  [reduceOnPlateau({ initial: 0.1, minLr: 1 }), 'lr.minLr: expected a rate of at most initial, got 1'],
  [{ kind: 'reduceOnPlateu', initial: 1 }, "did you mean 'reduceOnPlateau'"],
  [{ kind: 'warmup', steps: 3 }, 'lr.after: expected a number > 0 or a schedule, got nothing'],
])('refuses %o', (lr, message) => {
  expect(() => parseSchedule(lr)).toThrow(LockstepError);
  expect(() => parseSchedule(lr)).toThrow(message);
  expect(() => parseSchedule(lr)).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
});

test('a validated schedule is plain data and validates to itself', () => {
  const schedule = parseSchedule(warmup({ steps: 3, after: cosineDecay({ initial: 1 }) }));
  expect(JSON.parse(JSON.stringify(schedule))).toEqual(schedule);
  expect(parseSchedule(schedule)).toEqual(schedule);
});
