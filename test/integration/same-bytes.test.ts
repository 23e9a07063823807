import {
  adam,
  crossEntropy,
  defineJob,
  dense,
  dropout,
  type Job,
  momentum,
  rmsprop,
  sequential,
  train,
} from 'lockstep';
import { arrays } from 'lockstep/data';
import { describe, expect, test } from 'vitest';
import { blobs } from '../fixtures/blobs.ts';

type BlobJob = Job<{ x: 'f32'; y: 'i32' }>;

function job(overrides: Partial<BlobJob> = {}): BlobJob {
  return defineJob({
    data: { train: arrays(blobs(1000, 20, 5)), validation: 0.2, test: 0.1 },
    model: sequential(dense(48, 'relu'), dropout(0.3), dense(32, 'tanh'), dense(5)),
    loss: crossEntropy(),
    optimizer: adam({ lr: 3e-3 }),
    clip: { globalNorm: 0.5 },
    batchSize: 256,
    epochs: 4,
    seed: 7,
    ...overrides,
  });
}

async function outcome(j: BlobJob, workers: number) {
  const result = await train(j, { workers });
  const { parametersSha256, metrics, shards, step } = result;
  const records = Array.from(result.history, ({ step, loss, gradNorm, metrics }) => ({
    step,
    loss,
    gradNorm,
    metrics,
  }));
  return { parametersSha256, metrics, shards, step, records };
}

async function sameOnAll(j: BlobJob) {
  const one = await outcome(j, 1);
  for (const workers of [2, 3, 4]) expect(await outcome(j, workers)).toEqual(one);
  return one;
}

describe('1, 2, 3 and 4 workers give the same bytes', () => {
  test('default shards, ragged last batch, dropout, validation, clipping', async () => {
    const one = await sameOnAll(job());
    expect(one.shards).toBe(4);
    expect(one.step).toBe(12); // 700 training rows: batches of 256, 256, 188
    expect(one.metrics['test.accuracy']).toBeGreaterThan(0.6);
  });

  test('12 shards and early stopping', async () => {
    const one = await sameOnAll(
      job({ shards: 12, epochs: 30, earlyStopping: { monitor: 'val.loss', patience: 1, minDelta: 0.05 } }),
    );
    expect(one.shards).toBe(12);
    expect(one.step).toBeLessThan(90);
  });

  test('more shards than rows in the last batch, value clipping, momentum', async () => {
    // 700 rows in batches of 233: the last batch has one row, so 6 of 7 shards are empty.
    await sameOnAll(job({ batchSize: 233, shards: 7, clip: { value: 0.01 }, optimizer: momentum({ lr: 0.05 }) }));
  });

  test('full batch and both kinds of clipping', async () => {
    const one = await sameOnAll(
      job({ batchSize: 'full', clip: { globalNorm: 1, value: 0.1 }, optimizer: rmsprop({ lr: 1e-3 }), epochs: 5 }),
    );
    expect(one.step).toBe(5);
  });
});

test('another seed gives other bytes, the same seed the same', async () => {
  const first = await outcome(job({ steps: 3 }), 2);
  expect(await outcome(job({ steps: 3 }), 2)).toEqual(first);
  expect((await outcome(job({ steps: 3, seed: 8 }), 2)).parametersSha256).not.toBe(first.parametersSha256);
});
