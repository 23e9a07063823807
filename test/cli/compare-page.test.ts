import { expect, test } from 'vitest';
import { ComparePage } from '../../src/cli/compare-page.ts';
import type { CompareEvent } from '../../src/compare/compare.ts';
import type { TrialResult } from '../../src/compare/contract.ts';
import { Board } from '../../src/dashboard/board.ts';

const plan = { kind: 'plan', job: 'j', plan: { objective: { metric: 'val.accuracy', mode: 'max' } } } as CompareEvent;

function trial(optimizer: string, lr: number, accuracy: number, { seed = 1, stopStep = 10, phase = 'tune' } = {}) {
  const curve = [5, stopStep].map((step) => ({
    ...{ step, samples: 32 * step, seconds: step / 100, loss: 1 / step },
    metrics: { accuracy, 'val.accuracy': accuracy, 'val.loss': 1 - accuracy },
  }));
  const result = { trial: { optimizer, lr, seed, stopStep, totalSteps: 40, phase }, outcome: 'finished', curve };
  return { kind: 'trial', job: 'j', result: result as unknown as TrialResult, done: 1, trials: 2 } as CompareEvent;
}

const shownOn = (board: Board) => board.runs.filter(({ hidden }) => !hidden).map(({ name }) => name).sort(); // biome-ignore format: one line

test('the best trial of each optimizer is shown, what got further first; then the finals', () => {
  const board = new Board('x', 'compare');
  const page = new ComparePage(board, false);
  page.add(plan);
  page.add(trial('sgd', 0.1, 0.5));
  page.add(trial('adam', 0.01, 0.7));
  page.add(trial('sgd', 0.3, 0.6));
  page.add(trial('sgd', 1, 0.2));
  expect(shownOn(board)).toEqual(['adam, lr 0.01', 'sgd, lr 0.3']);
  page.add(trial('sgd', 0.1, 0.4, { stopStep: 20 })); // the same again, longer
  expect(shownOn(board)).toEqual(['adam, lr 0.01', 'sgd, lr 0.1']);
  expect(board.runs).toHaveLength(4);
  expect(board.runs[0].snapshot(10)).toMatchObject({
    ...{ group: 'sgd', totalSteps: 40, hidden: false, state: 'ended' },
    curves: { step: [5, 20], mean: { loss: [0.2, 0.05], seconds: [0.05, 0.2] } },
    evaluations: { step: [5, 20], mean: { 'val.accuracy': [0.4, 0.4] } },
  });
  for (const seed of [7, 8]) page.add(trial('sgd', 0.1, 0.4, { phase: 'final', seed }));
  expect(shownOn(board)).toEqual(['sgd, lr 0.1, seed 7', 'sgd, lr 0.1, seed 8']);
  board.close();
});

test('of hundreds of trials the finals are all there', () => {
  const board = new Board('x', 'compare');
  const page = new ComparePage(board, false);
  page.add(plan);
  for (let i = 1; i <= 200; i++) page.add(trial(`o${i % 20}`, i / 100, i / 200));
  for (let i = 1; i <= 32; i++) page.add(trial(`o${i % 4}`, 1, 0.5, { phase: 'final', seed: i }));
  expect(board.runs).toHaveLength(60);
  expect(shownOn(board)).toHaveLength(32);
  board.close();
});
