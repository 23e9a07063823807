import { adam, crossEntropy, defineJob, dense, dropout, type Job, lambda, normal, sequential } from 'lockstep';
import { arrays } from 'lockstep/data';
import { matmul } from 'lockstep/ops';
import { expect, test } from 'vitest';
import { openRun } from '../../src/train/open-run.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { blobs } from '../fixtures/blobs.ts';

/** `twice`: one layer used twice; its gradient is a sum, which no single GEMM writes, and keeps shards from going together. */
function job(twice: boolean) {
  const square = dense(24, 'tanh', { name: 'square' });
  return defineJob({
    data: { train: arrays(blobs(600, 24, 4)) },
    model: sequential(
      square,
      dropout(0.3),
      twice ? square : dense(24, 'relu'),
      lambda((x, { parameter }) => matmul(x, parameter('free', [24, 16], normal(0.2)))),
      dense(4),
    ),
    loss: crossEntropy(),
    optimizer: adam({ lr: 0.01 }),
    batchSize: 200,
    seed: 4,
  });
}

/** Parameters and optimizer slots, byte for byte, after 7 steps. */
async function state(
  twice: boolean,
  shards: number,
  workers: number,
  how: { accumulate: boolean; group: boolean },
): Promise<Buffer> {
  const plan = await planRun({ ...job(twice), shards } as Job, { workers });
  const { groupRows } = plan;
  // Both GEMMs can do both, at these sizes.
  expect(plan.accumulate).toBe(true);
  if (!twice) expect(groupRows[200]).toBeGreaterThan(0);
  const { accumulate } = how;
  const { session, pool } = await openRun({ ...plan, accumulate, groupRows: how.group ? groupRows : {} }, undefined);
  try {
    await pool.train(1, 7);
    const { parameters, slots } = session.layout;
    const bytes = 4 * plan.compiled.flatSize;
    return Buffer.concat([parameters, ...slots].map((at) => Buffer.from(session.memory.buffer, at, bytes)));
  } finally {
    await pool.close();
  }
}

test.each([
  { twice: false, shards: 8 },
  { twice: false, shards: 3 },
  { twice: true, shards: 6 },
])(
  'every gradient has the bits of being computed alone and added afterwards: $shards shards',
  async ({ twice, shards }) => {
    const alone = await state(twice, shards, 1, { accumulate: false, group: false });
    for (const how of [
      { accumulate: true, group: false },
      { accumulate: false, group: true },
      { accumulate: true, group: true },
    ]) {
      expect(alone.equals(await state(twice, shards, 1, how)), JSON.stringify(how)).toBe(true);
    }
    expect(alone.equals(await state(twice, shards, 2, { accumulate: true, group: true }))).toBe(true);
  },
);
