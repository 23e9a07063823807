import { adam, crossEntropy, defineJob, dense, flatten, sequential, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { describe, expect, test } from 'vitest';
import { blobs } from '../fixtures/blobs.ts';

const { x, y } = blobs(300, 36, 3);
const data = { x: { data: x.data, shape: [300, 6, 6] }, y } as const;

async function outcome(
  workers: number,
  augment: { x?: { flip: 'horizontal'; shift: number; noise: number; crop: number } },
) {
  const job = defineJob({
    data: { train: arrays(data), validation: 0.2, augment },
    model: sequential(flatten(), dense(16, 'relu'), dense(3)),
    loss: crossEntropy(),
    optimizer: adam({ lr: 3e-3 }),
    batchSize: 128,
    shards: 4,
    epochs: 3,
  });
  const { parametersSha256, metrics, history } = await train(job, { workers });
  return { parametersSha256, metrics, losses: Array.from(history, (r) => r.loss) };
}

describe('augmentation', () => {
  test('gives the same bytes on 1, 2 and 4 workers, and other ones than without', async () => {
    const augment = { x: { flip: 'horizontal', shift: 1, crop: 0.8, noise: 0.1 } } as const;
    const one = await outcome(1, augment);
    expect(await outcome(2, augment)).toEqual(one);
    expect(await outcome(4, augment)).toEqual(one);
    expect((await outcome(1, {})).losses).not.toEqual(one.losses);
  });

  test('leaves validation rows as they are', async () => {
    const job = (noise: number) =>
      defineJob({
        data: { train: arrays(data), validation: 0.2, augment: { x: { noise } } },
        model: sequential(flatten(), dense(3)),
        loss: crossEntropy(),
        optimizer: adam({ lr: 1e-30 }), // the parameters stay, so only the rows could differ
        epochs: 1,
      });
    const plain = await train(job(0), { workers: 1 });
    const noisy = await train(job(5), { workers: 1 });
    expect(noisy.metrics['val.loss']).toBe(plain.metrics['val.loss']);
    expect(noisy.loss).not.toBe(plain.loss);
  });
});
