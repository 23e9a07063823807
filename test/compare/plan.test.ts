import { describe, expect, it, test } from 'vitest';
import { commonFirst } from '../../src/compare/candidates.ts';
import { costOf, estimateSeconds, fitBudget, fitField, planRace } from '../../src/compare/plan.ts';
import { trialOf } from '../../src/compare/planner.ts';
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
const cost = { startSeconds: 0.5, loadSeconds: 0, secondsPerStep: 0.01, evaluationSteps: 5 };

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
    expect(plan.stepsOfJob).toBe(2700);
    expect(trialOf(plan, 'tune', 'a', 0.1, 1, 10).stepsOfJob).toBe(2700);
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
    const instant = { startSeconds: 2, loadSeconds: 0, secondsPerStep: 0.002, evaluationSteps: 1 };
    expect(fitBudget(settings, instant, 2, 30).totalSteps).toBe(1000);
    expect(fitBudget({ ...settings, totalSteps: 400 }, instant, 2, 30).totalSteps).toBe(400);
  });
});

describe('the cost of a trial', () => {
  const trial = trialOf(planRace(settings), 'calibrate', 'a', 0.01, 1, 2700);
  const result = (wallSeconds: number, seconds: number, evaluations: number) => ({
    trial,
    outcome: 'finished' as const,
    curve: Array.from({ length: evaluations + 1 }, (_, i) => ({
      step: 10 * (i + 1),
      samples: 0,
      seconds,
      loss: 1,
      metrics: i < evaluations ? { 'val.loss': 1 } : ({} as Record<string, number>),
    })),
    secondsPerStep: 0.02,
    wallSeconds,
    cpuSeconds: 1,
  });

  it('is what neither training nor evaluations took; the first trial of a process reads the rows as well', () => {
    // An evaluation of 300 rows in batches of 100 is a step long.
    const pair = { cold: result(1.7, 0.2, 0), warm: result(2.6, 2, 5) };
    const { startSeconds, loadSeconds, ...rest } = costOf([pair, pair], { batch: 100, validation: 300 }) ?? cost;
    expect(startSeconds).toBeCloseTo(0.5, 12);
    expect(loadSeconds).toBeCloseTo(1, 12);
    expect(rest).toEqual({ secondsPerStep: 0.02, evaluationSteps: 1 });
  });

  it('is unknown where nothing was trained', () => {
    const crashed = { ...result(1, 0, 0), outcome: 'crashed' as const, curve: [] };
    expect(costOf([{ cold: crashed, warm: crashed }], { batch: 1, validation: 1 })).toBeUndefined();
  });

  it('counts the rows of each seed of the finals once in a process', () => {
    const plan = planRace(settings);
    const more = estimateSeconds(plan, { ...cost, loadSeconds: 3 }, 2) - estimateSeconds(plan, cost, 2);
    expect(more).toBeCloseTo((8 * 2 * 3) / 2, 9); // eight seeds, two optimizers, two processes
  });
});

describe('fitField', () => {
  const entries = Array.from({ length: 30 }, (_, i) => ({ optimizer: `o${i}`, grid: GRID }));
  const many = { ...settings, entries };
  const quick = { ...cost, startSeconds: 0.3 };

  it('keeps all that fit, and else as many as fit with the shortest runs', () => {
    expect(fitField(many, quick, 2, 1e4).entries).toEqual(entries);
    const { entries: kept } = fitField(many, quick, 2, 60);
    expect(kept.length).toBeLessThan(30);
    expect(kept).toEqual(entries.slice(0, kept.length));
    const estimate = (count: number) => {
      const some = { ...many, entries: entries.slice(0, count) };
      return estimateSeconds(fitBudget(some, quick, 2, 60), quick, 2);
    };
    // A share is left for what an estimate does not see: a race that is cut off lacks seeds, and seeds are what shows a difference.
    expect(estimate(kept.length)).toBeLessThanOrEqual(0.85 * 60);
    expect(estimate(kept.length + 1)).toBeGreaterThan(0.85 * 60);
  });

  it('keeps two at least: something must be compared', () => {
    expect(fitField(many, quick, 2, 0.1).entries).toHaveLength(2);
  });
});

test("who is left out last: the job's own, then what most people would try", () => {
  const order = (own: string) =>
    commonFirst(
      ['soap', 'sgd', 'adan', 'adam', 'mine', 'adamw'].map((optimizer) => ({ optimizer })),
      own,
    );
  expect(order('mine').map(({ optimizer }) => optimizer)).toEqual(['mine', 'adamw', 'adam', 'sgd', 'soap', 'adan']);
  expect(order('adan').map(({ optimizer }) => optimizer)[0]).toBe('adan');
});
