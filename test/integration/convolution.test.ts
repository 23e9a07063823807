import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adam, avgPool2d, conv1d, conv2d, convTranspose2d, crossEntropy, defineJob, dense, depthwiseConv2d, flatten, globalMaxPool, maxPool2d,
  reshape, sequential, train,
} from 'lockstep'; // biome-ignore format: a list
import { arrays } from 'lockstep/data';
import { Predictor } from 'lockstep/predict';
import { expect, test } from 'vitest';
import { blobs } from '../fixtures/blobs.ts';

/** Every layer for images once, on rows of 100 numbers: images of 10 x 10. */
const job = defineJob({
  data: { train: arrays(blobs(400, 100, 4)), validation: 0.2 },
  model: sequential(
    reshape([10, 10]),
    conv2d(8, 3, 'relu', { padding: 'same' }),
    maxPool2d(2),
    depthwiseConv2d(3, 'relu', { padding: 1 }),
    conv2d(6, 1, { groups: 2 }),
    convTranspose2d(4, 2, 'relu', { stride: 2 }),
    avgPool2d([2, 1]),
    reshape([50, 4]),
    conv1d(8, 5, 'gelu', { stride: 2, dilation: 2 }),
    globalMaxPool(),
    flatten(),
    dense(4),
  ),
  loss: crossEntropy(),
  optimizer: adam({ lr: 1e-2 }),
  batchSize: 96,
  shards: 4,
  epochs: 6,
  seed: 3,
});

test('1, 2 and 3 workers end in the same bytes, and a loaded model answers each row by itself', async () => {
  const runDir = mkdtempSync(join(tmpdir(), 'lockstep-convolution-'));
  try {
    const one = await train(job, { workers: 1, runDir });
    expect(one.history.at(-1)?.loss).toBeLessThan(0.8 * (one.history.at(0)?.loss ?? 0));
    for (const workers of [2, 3]) {
      const other = await train(job, { workers });
      expect(other.parametersSha256).toBe(one.parametersSha256);
      expect(other.history.at(-1)?.loss).toBe(one.history.at(-1)?.loss);
    }
    const predictor = await Predictor.load(runDir);
    const { data } = blobs(9, 100, 4).x;
    const rows = Array.from({ length: 9 }, (_, i) => ({ x: Array.from(data.subarray(100 * i, 100 * i + 100)) }));
    const together = await predictor.predict(rows);
    for (const [i, row] of rows.entries()) expect(await predictor.predict(row)).toEqual(together[i]);
  } finally {
    rmSync(runDir, { recursive: true });
  }
});
