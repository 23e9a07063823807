import { existsSync } from 'node:fs';
import { type Job, train } from 'lockstep';
import { expect, test } from 'vitest';

/** Losses of a few steps on the example's own training rows. */
async function losses(job: Job): Promise<number[]> {
  const { history } = await train({ ...job, data: { train: job.data.train }, steps: 15 }, { workers: 1 });
  return Array.from(history, (record) => record.loss);
}

function expectFall(values: readonly number[]): void {
  expect(values).toHaveLength(15);
  const last = values.slice(-3).reduce((sum, loss) => sum + loss / 3, 0);
  expect(last).toBeLessThan(0.8 * values[0]);
}

test('the MNIST example learns', async () => {
  const { default: job } = await import('../../examples/mnist-cnn.ts');
  expectFall(await losses(job));
});

const folder = process.env.FASHION_MNIST ?? '/usr/share/datasets/fashion-mnist';

test.skipIf(!existsSync(folder))('the Fashion-MNIST example learns', async () => {
  const { default: job } = await import('../../examples/fashion-mnist-cnn.ts');
  expectFall(await losses(job));
});
