import { describe, expect, it } from 'vitest';
import type { RacePlan, TrialResult } from '../../src/compare/contract.ts';
import { nextTrials, raceSize, tuningOf } from '../../src/compare/planner.ts';
import { philox } from '../fixtures/philox.ts';
import { fakePlan, fakeResult, type Hump } from './fake.ts';

/** Runs what the planner asks for, in an order drawn at random: trials end when they end. */
function race(plan: RacePlan, humps: Record<string, Hump>, seed = 1): TrialResult[] {
  const random = philox(seed);
  const results: TrialResult[] = [];
  for (let guard = 0; guard < 2000; guard++) {
    const waiting = nextTrials(plan, results);
    if (waiting.length === 0) return results;
    results.push(fakeResult(waiting[Math.floor(random() * waiting.length)], humps));
  }
  throw new Error('the race does not end');
}

const known = (results: readonly TrialResult[]) => new Map(results.map((r) => [r.trial.id, r]));
const GRID = [0.0001, 0.00032, 0.001, 0.0032, 0.01];
const adam: Hump = { best: 0.001, top: 0.95 };

describe('the planner', () => {
  it('spends the same number of trials and steps on every optimizer, wherever its best rate lies', () => {
    const humps = { a: adam, b: { best: 0.1, top: 0.9 }, c: { best: 1e-5, top: 0.9 } };
    const plan = fakePlan({ a: GRID, b: GRID, c: GRID });
    const results = race(plan, humps);
    const spent = Object.keys(humps).map((name) => {
      const own = results.filter(({ trial }) => trial.optimizer === name && trial.phase === 'tune');
      return { trials: own.length, steps: own.reduce((sum, { trial }) => sum + trial.stopStep, 0) };
    });
    expect(spent[1]).toEqual(spent[0]);
    expect(spent[2]).toEqual(spent[0]);
    expect(results.length).toBe(raceSize(plan).trials);
  });

  it('stops bad rates early: longer rungs have fewer trials', () => {
    const results = race(fakePlan({ a: GRID }), { a: adam }).filter(({ trial }) => trial.phase === 'tune');
    const at = (step: number) => results.filter(({ trial }) => trial.stopStep === step).length;
    expect([at(30), at(90), at(270)]).toEqual([8, 3, 1]);
  });

  it('widens the grid by itself until the best rate is inside', () => {
    const plan = fakePlan({ up: GRID, down: GRID });
    const humps = { up: { best: 0.2, top: 0.9 }, down: { best: 1e-5, top: 0.9 } };
    const results = race(plan, humps);
    for (const [index, name] of ['up', 'down'].entries()) {
      const { winner } = tuningOf(plan, index, known(results));
      const tested = results.filter(({ trial }) => trial.optimizer === name).map(({ trial }) => trial.lr);
      const away = Math.abs(Math.log10((winner?.trial.lr ?? Number.NaN) / humps[name as 'up' | 'down'].best));
      expect(away, name).toBeLessThanOrEqual(0.3);
      expect(Math.max(...tested), name).toBeGreaterThan(winner?.trial.lr ?? 0);
      expect(Math.min(...tested), name).toBeLessThan(winner?.trial.lr ?? 0);
    }
  });

  it('goes down where every rate diverged', () => {
    const plan = fakePlan({ a: GRID });
    const results = race(plan, { a: { best: 3e-5, top: 0.9, limit: 5e-5 } });
    expect(tuningOf(plan, 0, known(results)).winner?.trial.lr).toBeLessThan(5e-5);
  });

  it('looks between the rates where the best is inside', () => {
    const results = race(fakePlan({ a: GRID }), { a: { best: 0.0018, top: 0.95 } });
    const tested = results.filter(({ trial }) => trial.stopStep === 30).map(({ trial }) => trial.lr);
    expect(tested).toContain(0.0018);
  });

  it('sends the best of the tuning to the finals, on seeds that the tuning has not seen, seed by seed', () => {
    const plan = fakePlan({ a: GRID, b: GRID, c: GRID }, { finalists: 2 });
    const humps = { a: { best: 0.001, top: 0.8 }, b: adam, c: { best: 0.001, top: 0.9 } };
    const waiting = nextTrials(
      plan,
      race(fakePlan({ a: GRID, b: GRID, c: GRID }, { finalists: 2, finalSeeds: 0 }), humps),
    );
    expect(waiting.map(({ optimizer }) => optimizer)).toEqual(plan.finalSeeds.flatMap(() => ['b', 'c']));
    expect(waiting.map(({ seed }) => seed)).toEqual(plan.finalSeeds.flatMap((seed) => [seed, seed]));
    expect(plan.finalSeeds).not.toContain(plan.tuningSeed);
    expect(new Set(plan.finalSeeds).size).toBe(8);
  });

  it('decides the same whatever the order in which trials end', () => {
    const humps = { a: adam, b: { best: 0.02, top: 0.93 }, c: { best: 0.001, top: 0.5, limit: 0.005 } };
    const plan = fakePlan({ a: GRID, b: GRID, c: GRID }, { finalists: 2 });
    const ids = (seed: number) =>
      race(plan, humps, seed)
        .map(({ trial }) => trial.id)
        .sort();
    expect(ids(2)).toEqual(ids(1));
    expect(ids(3)).toEqual(ids(1));
  });

  it('goes on without an optimizer that always fails, and ends', () => {
    const plan = fakePlan({ a: GRID, bad: GRID });
    const results = race(plan, { a: adam, bad: { best: 1, top: 1, crashes: () => true } });
    const finals = results.filter(({ trial }) => trial.phase === 'final');
    expect(new Set(finals.map(({ trial }) => trial.optimizer))).toEqual(new Set(['a']));
    expect(tuningOf(plan, 1, known(results)).winner).toBeUndefined();
  });

  it('ranks by the target where there is one: sooner beats better', () => {
    const plan = fakePlan({ a: GRID }, { objective: { metric: 'val.accuracy', mode: 'max', target: 0.6 } });
    const results = race(plan, { a: adam });
    const winner = tuningOf(plan, 0, known(results)).winner;
    const missed = fakePlan({ a: GRID }, { objective: { metric: 'val.accuracy', mode: 'max', target: 2 } });
    expect(winner?.trial.lr).toBeCloseTo(0.001, 3);
    expect(tuningOf(missed, 0, known(race(missed, { a: adam }))).winner?.trial.lr).toBeCloseTo(0.001, 3);
  });
});
