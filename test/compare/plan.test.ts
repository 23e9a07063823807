import { describe, expect, it } from 'vitest';
import { estimateSeconds, fitBudget, planRace } from '../../src/compare/plan.ts';
import { ACCURACY } from './fake.ts';

const GRID = [0.001, 0.01, 0.1];
const settings = {
  objective: ACCURACY,
  entries: [
    { optimizer: 'a', grid: GRID },
    { optimizer: 'b', grid: GRID },
  ],
  totalSteps: 2700,
  seed: 1,
  finalSeeds: 8,
  finalists: 4,
};
const cost = { startSeconds: 0.5, secondsPerStep: 0.01, evaluationSteps: 5 };

describe('planRace', () => {
  it('halves by three and evaluates where rungs end', () => {
    const { rungs, evaluateEvery } = planRace(settings);
    expect(evaluateEvery).toBe(100);
    expect(rungs.map(({ step }) => step)).toEqual([300, 900, 2700]);
    for (const { step } of rungs) expect(step % evaluateEvery).toBe(0);
  });

  it.each([1, 2, 12, 27, 28, 100, 1055, 3001])('has rungs that grow and end with the run: %i steps', (totalSteps) => {
    const { rungs, evaluateEvery } = planRace({ ...settings, totalSteps });
    const steps = rungs.map(({ step }) => step);
    expect(steps.at(-1)).toBe(totalSteps);
    expect([...new Set(steps)].sort((a, b) => a - b)).toEqual(steps);
    for (const step of steps.slice(0, -1)) {
      expect(step).toBeGreaterThanOrEqual(10);
      expect(step % evaluateEvery).toBe(0);
    }
  });
});

describe('fitBudget', () => {
  it('leaves runs whole where there is time', () => {
    expect(fitBudget(settings, cost, 2, 1e6).totalSteps).toBe(2700);
  });

  it('cuts all runs alike until the estimate fits, and no further', () => {
    const plan = fitBudget(settings, cost, 2, 120);
    expect(plan.totalSteps).toBeLessThan(2700);
    expect(estimateSeconds(plan, cost, 2)).toBeLessThanOrEqual(0.85 * 120);
    expect(estimateSeconds(planRace({ ...settings, totalSteps: plan.totalSteps + 30 }), cost, 2)).toBeGreaterThan(
      0.85 * 120,
    );
  });

  it('does not cut below 30 steps: then the clock decides', () => {
    const quick = { ...cost, startSeconds: 0.1 };
    expect(fitBudget(settings, quick, 2, 1).totalSteps).toBe(30);
    expect(fitBudget({ ...settings, totalSteps: 12 }, quick, 2, 1).totalSteps).toBe(12);
  });

  it('does not cut runs that take no longer than to start them', () => {
    const instant = { startSeconds: 2, secondsPerStep: 0.002, evaluationSteps: 1 };
    expect(fitBudget(settings, instant, 2, 30).totalSteps).toBe(1000);
    expect(fitBudget({ ...settings, totalSteps: 400 }, instant, 2, 30).totalSteps).toBe(400);
  });
});
