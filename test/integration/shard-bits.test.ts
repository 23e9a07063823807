import {
  adam,
  crossEntropy,
  defineJob,
  dense,
  dropout,
  embedding,
  type Job,
  lambda,
  layerNorm,
  multiHeadAttention,
  normal,
  positions,
  residual,
  sequential,
} from 'lockstep';
import { arrays } from 'lockstep/data';
import { matmul } from 'lockstep/ops';
import { expect, test } from 'vitest';
import { openRun } from '../../src/train/open-run.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { blobs } from '../fixtures/blobs.ts';

/** `twice`: one layer used twice; its gradient is a sum, which no single GEMM writes. */
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

/** A small language model: attention by sample, normalisation, weights that are tied, a loss for each position. */
function decoder() {
  const [rows, length, vocabulary] = [60, 64, 40];
  const tokens = Int32Array.from({ length: rows * length }, (_, i) => (i * i + 3 * i) % vocabulary);
  const next = tokens.map((token) => (3 * token + 1) % vocabulary);
  return defineJob({
    data: { train: arrays({ x: { data: tokens, shape: [rows, length] }, y: { data: next, shape: [rows, length] } }) },
    model: ({ x }) => {
      const embed = embedding(vocabulary, 64, { name: 'tokens' });
      const h = sequential(
        positions(length),
        residual(layerNorm(), multiHeadAttention({ heads: 2, causal: true }), dropout(0.1)),
        residual(layerNorm(), dense(128, 'gelu'), dense(64)),
        layerNorm(),
      )(embed(x));
      return embed.attend(h);
    },
    loss: crossEntropy(),
    optimizer: adam({ lr: 0.01 }),
    batchSize: 12,
    seed: 4,
  });
}

const JOBS = { plain: () => job(false), twice: () => job(true), decoder } as const;
type Name = keyof typeof JOBS;

/** Parameters and optimizer slots, byte for byte, after 7 steps. */
async function state(
  name: Name,
  shards: number,
  workers: number,
  how: { accumulate: boolean; group: boolean },
): Promise<Buffer> {
  const plan = await planRun({ ...JOBS[name](), shards } as Job, { workers });
  const { groupRows } = plan;
  // Both GEMMs can do both, at these sizes.
  expect(plan.accumulate).toBe(true);
  expect(groupRows[plan.compiled.batchSize]).toBeGreaterThan(0);
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
  { name: 'plain', shards: 8 },
  { name: 'plain', shards: 3 },
  { name: 'twice', shards: 6 },
  { name: 'decoder', shards: 8 },
  { name: 'decoder', shards: 4 },
] as const)(
  'every gradient has the bits of being computed alone and added afterwards: $name, $shards shards',
  async ({ name, shards }) => {
    const alone = await state(name, shards, 1, { accumulate: false, group: false });
    for (const how of [
      { accumulate: true, group: false },
      { accumulate: false, group: true },
      { accumulate: true, group: true },
    ]) {
      expect(alone.equals(await state(name, shards, 1, how)), JSON.stringify(how)).toBe(true);
    }
    expect(alone.equals(await state(name, shards, 2, { accumulate: true, group: true }))).toBe(true);
  },
);
