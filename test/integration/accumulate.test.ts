import { adam, crossEntropy, defineJob, dense, type Job, lambda, normal, sequential } from 'lockstep';
import { arrays } from 'lockstep/data';
import { matmul } from 'lockstep/ops';
import { expect, test } from 'vitest';
import { openRun } from '../../src/train/open-run.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { blobs } from '../fixtures/blobs.ts';

/** One square layer used twice: its gradient is a sum, which no single GEMM writes. */
const shared = dense(24, 'tanh', { name: 'shared' });

const job = defineJob({
  data: { train: arrays(blobs(600, 24, 4)) },
  model: sequential(
    shared,
    shared,
    lambda((x, { parameter }) => matmul(x, parameter('free', [24, 16], normal(0.2)))),
    dense(4),
  ),
  loss: crossEntropy(),
  optimizer: adam({ lr: 0.01 }),
  batchSize: 200,
  seed: 4,
});

/** Parameters and optimizer slots, byte for byte, after 7 steps. */
async function state(shards: number, workers: number, accumulate: boolean): Promise<Buffer> {
  const plan = await planRun({ ...job, shards } as Job, { workers });
  expect(plan.accumulate).toBe(true); // both GEMMs can, at these sizes
  const { session, pool } = await openRun({ ...plan, accumulate }, undefined);
  try {
    await pool.train(1, 7);
    const { parameters, slots } = session.layout;
    const bytes = 4 * plan.compiled.flatSize;
    return Buffer.concat([parameters, ...slots].map((at) => Buffer.from(session.memory.buffer, at, bytes)));
  } finally {
    await pool.close();
  }
}

test.each([3, 8])(
  '%i shards: adding gradients as they are computed gives the bits of adding them afterwards',
  async (shards) => {
    const apart = await state(shards, 1, false);
    for (const workers of [1, 2]) expect(apart.equals(await state(shards, workers, true))).toBe(true);
  },
);
