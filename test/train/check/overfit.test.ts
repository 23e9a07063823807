import { binaryCrossEntropy, defineJob, dense, type Job, sequential, sgd } from 'lockstep';
import { arrays } from 'lockstep/data';
import { expect, test } from 'vitest';
import { loadData } from '../../../src/data/load.ts';
import { learnByHeart, prepareHeart } from '../../../src/train/check/overfit.ts';
import { planRun } from '../../../src/train/plan-run.ts';

/** Rows without a single event, as the first 32 rows often are where events are rare. */
const job = defineJob({
  data: { train: arrays({ x: { data: Float32Array.from({ length: 80 }, (_, i) => (i % 7) / 7), shape: [40, 2] }, y: new Float32Array(40) }) },
  model: sequential(dense(1)),
  loss: binaryCrossEntropy(),
  optimizer: sgd({ lr: 1 }),
  steps: 100,
}) as unknown as Job; // biome-ignore format: the data are one thing

test('rows of one class are learnt when the loss has fallen to a tenth', async () => {
  const options = { workers: 1 };
  const data = await loadData(job.data, { seed: 1, baseDir: '.' });
  const heart = await prepareHeart(job, data, await planRun(job, options), options);
  const { first, losses, learnt } = await learnByHeart(heart, 1, options);
  expect(learnt).toBe(true);
  expect(losses.at(-1)).toBeGreaterThan(0);
  expect(losses.at(-1)).toBeLessThanOrEqual(0.1 * first);
  expect((await learnByHeart(heart, 1e-9, options)).learnt).toBe(false);
});
