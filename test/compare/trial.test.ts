import { expect, test } from 'vitest';
import type { Trial } from '../../src/compare/contract.ts';
import { runTrial } from '../../src/compare/trial.ts';
import { rows } from '../../src/data/index.ts';
import { crossEntropy, defineJob, dense, type Job, sequential, sgd } from '../../src/index.ts';

const trial = (seed: number): Trial => ({
  id: `t${seed}`,
  phase: 'tune',
  optimizer: 'sgd',
  lr: 0.1,
  seed,
  stopStep: 4,
  totalSteps: 4,
  evaluateEvery: 2,
});

test('trials with one seed share the data that was read, others read anew; all train alike', async () => {
  let reads = 0;
  const source = rows({ x: { dtype: 'f32', shape: [2] }, y: { dtype: 'i32' } }, function* () {
    reads += 1;
    for (let i = 0; i < 60; i++) yield { x: [Math.sin(i), Math.cos(3 * i)], y: i % 2 };
  });
  const job = defineJob({
    data: { train: source, validation: 0.2 },
    model: sequential(dense(4, 'tanh'), dense(2)),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.1 }),
    batchSize: 12,
    epochs: 1,
  }) as unknown as Job;
  const load = async () => ({ job });
  const first = await runTrial(load, trial(1));
  expect(first).toMatchObject({ outcome: 'finished' });
  const again = await runTrial(load, trial(1));
  expect(reads).toBe(1);
  const losses = ({ curve }: typeof first) => curve.map(({ loss, metrics }) => [loss, metrics]);
  expect(losses(again)).toEqual(losses(first));
  const other = await runTrial(load, trial(2));
  expect(reads).toBe(2);
  expect(losses(other)).not.toEqual(losses(first));
  const back = await runTrial(load, trial(1));
  expect(losses(back)).toEqual(losses(first));
});
