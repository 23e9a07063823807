import { describe, expect, it } from 'vitest';
import { gridAround, largestRate, rescaled } from '../../src/compare/learning-rates.ts';
import { cosineDecay, exponentialDecay, stepDecay, warmup, warmupCosine } from '../../src/optim/index.ts';
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
