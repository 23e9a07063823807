import { describe, expect, it } from 'vitest';
import { gridAround, largestRate, rescaled, shortened } from '../../src/compare/learning-rates.ts';
import {
  cosineDecay,
  exponentialDecay,
  multiStepDecay,
  piecewiseConstant,
  stepDecay,
  warmup,
  warmupCosine,
} from '../../src/optim/index.ts';
import { lrAt, parseSchedule } from '../../src/optim/schedules.ts';

describe('gridAround', () => {
  it('is half a decade apart in two digits', () => {
    expect(gridAround(0.001)).toEqual([0.0001, 0.00032, 0.001, 0.0032, 0.01]);
  });
});

describe('rescaled', () => {
  it.each([
    ['a constant', 0.01],
    ['steps', stepDecay({ initial: 0.1, every: 10, factor: 0.3 })],
    ['an exponential', exponentialDecay({ initial: 0.1, factor: 0.99 })],
    ['a cosine', cosineDecay({ initial: 0.1, final: 0.001 })],
    ['one rate after the other', piecewiseConstant({ boundaries: [20], values: [0.02, 0.1] })],
    ['a warm-up', warmup({ steps: 10, from: 0.001, after: 0.05 })],
    ['a warm-up before steps', warmup({ steps: 10, after: stepDecay({ initial: 0.1, every: 5 }) })],
    ['a warm-up before a cosine', warmupCosine({ peak: 0.02, warmupSteps: 7 })],
  ])('keeps the course of %s', (_, lr) => {
    const scaled = rescaled(lr, 0.003, 60);
    expect(scaled).toBeDefined();
    expect(largestRate(scaled ?? 0, 60)).toBeCloseTo(0.003, 12);
    const factor = 0.003 / largestRate(lr, 60);
    for (let step = 1; step <= 60; step++) {
      const rate = lrAt(parseSchedule(scaled), step, 60);
      expect(rate).toBeCloseTo(factor * lrAt(parseSchedule(lr), step, 60), 10);
    }
  });
});

describe('shortened', () => {
  it.each([
    ['a constant', 0.01],
    ['steps', stepDecay({ initial: 0.1, every: 200, factor: 0.3 })],
    ['an exponential of each update', exponentialDecay({ initial: 0.1, factor: 0.999 })],
    ['an exponential of every few', exponentialDecay({ initial: 0.1, factor: 0.9, every: 100 })],
    ['a cosine', cosineDecay({ initial: 0.1, final: 0.001 })],
    ['one rate after the other', piecewiseConstant({ boundaries: [300], values: [0.02, 0.1] })],
    ['a cosine with a length', cosineDecay({ initial: 0.1, final: 0.001, steps: 700 })],
    ['a warm-up before steps', warmup({ steps: 100, after: stepDecay({ initial: 0.1, every: 300 }) })],
    ['a warm-up before a cosine', warmupCosine({ peak: 0.02, warmupSteps: 100 })],
    ['no warm-up before a cosine', warmupCosine({ peak: 0.02, warmupSteps: 0 })],
  ])('takes %s through its course in a tenth of the updates', (_, lr) => {
    const [whole, short] = [parseSchedule(lr), parseSchedule(shortened(lr, 0.1))];
    for (let step = 1; step <= 100; step++) {
      const [from, to] = [lrAt(whole, 10 * step - 9, 1000), lrAt(whole, 10 * step, 1000)];
      const rate = lrAt(short, step, 100);
      const slack = 0.03 * largestRate(lr, 1000);
      expect(rate).toBeGreaterThanOrEqual(Math.min(from, to) - slack);
      expect(rate).toBeLessThanOrEqual(Math.max(from, to) + slack);
    }
  });

  it('leaves alone what would collapse', () => {
    const lr = multiStepDecay({ initial: 0.1, milestones: [10, 11] });
    expect(shortened(lr, 0.1)).toEqual(lr);
  });
});
