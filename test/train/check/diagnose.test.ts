import { crossEntropy, defineJob, dense, sequential, sgd } from 'lockstep';
import { arrays } from 'lockstep/data';
import { describe, expect, it } from 'vitest';
import type { Table } from '../../../src/data/contract.ts';
import { diagnose, type Findings } from '../../../src/train/check/diagnose.ts';
import { stillTensors } from '../../../src/train/check/gradients.ts';
import { type Attempt, otherRates } from '../../../src/train/check/overfit.ts';
import type { Job } from '../../../src/train/job.ts';
import { planRun } from '../../../src/train/plan-run.ts';
import { blobs } from '../../fixtures/blobs.ts';

function attempt(overrides: Partial<Attempt> = {}): Attempt {
  const losses = [1, 0.98, 0.97, 0.97, 0.97];
  return { lr: 0.01, steps: 100, first: 1.1, losses, accuracy: 0.4, learnt: false, ...overrides };
}

function findings(overrides: Partial<Findings> = {}): Findings {
  return {
    ...{ rows: 32, lossName: 'crossEntropy', bounds: { constant: 1.1, floor: 0 }, parameters: 1000 },
    ...{ attempt: attempt(), others: [], warnings: [], unscaled: [], target: undefined, still: [] },
    ...overrides,
  };
}

describe('a batch that was not learnt by heart', () => {
  const better = (lr: number) => [attempt({ lr, losses: [0.01], learnt: true })];
  it.each<[string, Partial<Findings>, RegExp]>([
    ['a warning of the compiler', { warnings: ['softmax directly before crossEntropy'] }, /softmax directly/],
    ['a rate that is too small', { others: better(0.1) }, /learning rate 0\.01 is too small: with 0\.1 .* 0\.01;/],
    ['a rate that is too large', { others: better(0.001) }, /learning rate 0\.01 is too large: with 0\.001/],
    ['a loss that rises', { attempt: attempt({ losses: [5, Number.NaN] }) }, /rises with learning rate 0\.01/],
    [
      'inputs as they came',
      { unscaled: [{ field: 'x', element: 3, mean: 4e4, std: 10 }] },
      /field x is not normalised/,
    ],
    [
      'a target far from 0',
      { target: { element: 0, mean: 2e5, std: 8e4 } },
      /target lies far .*mul\(output, 80000\), 200000/,
    ],
    ['dead tensors', { still: [{ name: 'dense/weight', still: 8, units: 8 }] }, /no gradient reaches dense\/weight/],
    ['dead units', { still: [{ name: 'dense/weight', still: 7, units: 8 }] }, /7 of 8 units of dense\/weight/],
    ['answers that ignore the inputs', { attempt: attempt({ losses: [1.1, 1.1, 1.1] }) }, /answers every row alike/],
    ['nothing of that', { still: [{ name: 'dense/weight', still: 1, units: 8 }] }, /too small for 32 rows/],
  ])('%s', (_, overrides, pattern) => {
    const { status, causes } = diagnose(findings(overrides));
    expect(status).toBe('failed');
    expect(causes[0]).toMatch(pattern);
  });

  it('is only a warning while the loss still falls and a larger rate does it', () => {
    const slow = attempt({ losses: [1.1, 1, 0.9, 0.8, 0.7] });
    expect(diagnose(findings({ attempt: slow, others: better(0.1) })).status).toBe('warning');
  });

  it('is no failure where the loss has a floor, or the model no more parameters', () => {
    expect(diagnose(findings({ attempt: attempt({ accuracy: 1 }) })).status).toBe('ok');
    expect(diagnose(findings({ attempt: attempt({ accuracy: 1 }), warnings: ['softmax twice'] })).status).toBe(
      'failed',
    );
    expect(diagnose(findings({ parameters: 7 })).status).toBe('ok');
  });
});

it('other rates go down where the loss went up', () => {
  expect(otherRates(attempt())).toEqual([10, 0.1]);
  expect(otherRates(attempt({ losses: [Number.NaN] }))).toEqual([0.1, 0.01, 1e-3, 1e-4]);
  expect(otherRates(attempt({ losses: [3] }))).toEqual([0.1, 0.01, 1e-3, 1e-4]);
});

it('finds the units that no row moves', async () => {
  const job = defineJob({
    data: { train: arrays(blobs(32, 5, 3)) },
    model: sequential(dense(8, 'relu'), dense(3)),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.1 }),
    ...{ batchSize: 32, shards: 1 },
  }) as unknown as Job;
  const plan = await planRun(job, { workers: 1 });
  const dead = [0, 1, 2, 5, 7];
  const parameters = {
    'dense/weight': { shape: [5, 8], data: Float32Array.from({ length: 40 }, (_, i) => Math.sin(i)) },
    'dense/bias': { shape: [8], data: Float32Array.from({ length: 8 }, (_, i) => (dead.includes(i) ? -1000 : 10)) },
    'dense_1/weight': { shape: [8, 3], data: Float32Array.from({ length: 24 }, (_, i) => Math.cos(i)) },
    'dense_1/bias': { shape: [3], data: new Float32Array(3) },
  };
  expect(stillTensors(plan, plan.data.train as Table, parameters)).toEqual([
    { name: 'dense/weight', still: 5, units: 8 },
    { name: 'dense/bias', still: 5, units: 8 },
  ]);
});
