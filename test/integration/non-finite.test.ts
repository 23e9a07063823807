import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crossEntropy, defineJob, dense, LockstepError, lambda, sam, sequential, sgd, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { abs, sqrt } from 'lockstep/ops';
import { expect, test } from 'vitest';
import { blobs } from '../fixtures/blobs.ts';

/** One row that is no number: the loss of its batch is NaN in every epoch. */
function poisoned(row: number) {
  const data = blobs(256, 6, 3);
  data.x.data[row * 6 + 2] = Number.NaN;
  return data;
}

const job = (nonFinite: 'stop' | 'skip', row = 100) =>
  defineJob({
    data: { train: arrays(poisoned(row), { allowNonFinite: true }) },
    model: sequential(dense(16, 'relu', { name: 'hidden' }), dense(3)),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.1 }),
    batchSize: 64,
    shards: 4,
    epochs: 3,
    nonFinite,
  });

test('stop names step, shard, rows and tensor, the same on any number of workers', async () => {
  const messages = [];
  for (const workers of [1, 3]) {
    const error = await train(job('stop'), { workers }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(LockstepError);
    expect((error as LockstepError).code).toBe('E_NON_FINITE');
    messages.push((error as LockstepError).message);
  }
  expect(messages[1]).toBe(messages[0]);
  expect(messages[0]).toMatch(/^step [1-4]: /);
  expect(messages[0]).toMatch(/shard [0-3], rows (\d+, )*100\b/);
  expect(messages[0]).toMatch(/inputs that are not finite in row 100;/);
  expect(messages[0]).toMatch(/first bad tensor: hidden\/weight/);
});

test('skip leaves out exactly the bad step of each epoch and keeps the epoch means finite', async () => {
  const result = await train(job('skip'), { workers: 2 });
  expect(result.step).toBe(12);
  const bad = result.history.filter((r) => !Number.isFinite(r.loss));
  expect(bad.map((r) => r.epoch)).toEqual([1, 2, 3]);
  expect(bad.every((r) => r.clipScale === 0)).toBe(true);
  expect(result.skippedSteps).toBe(3);
  expect(Number.isFinite(result.loss)).toBe(true);
  for (const { data } of Object.values(result.parameters)) expect(data.every(Number.isFinite)).toBe(true);
});

/** A finite loss whose gradient is not: the square root has no slope at zero. */
function steep(nonFinite: 'stop' | 'skip') {
  const data = blobs(256, 6, 3);
  data.x.data.fill(0, 100 * 6, 101 * 6);
  const model = sequential(
    dense(8, { bias: false }),
    lambda((h) => sqrt(abs(h))),
    dense(3),
  );
  return { ...job(nonFinite), model, data: { train: arrays(data) } };
}

test('a step with a finite loss whose gradient is not is skipped and counted too', async () => {
  const result = await train(steep('skip'), { workers: 2 });
  const bad = result.history.filter((r) => !Number.isFinite(r.gradNorm));
  expect(bad.map((r) => r.epoch)).toEqual([1, 2, 3]);
  expect(bad.every((r) => Number.isFinite(r.loss))).toBe(true);
  expect(result.skippedSteps).toBe(3);
});

test('where one partial sum holds several shards, the one whose gradient broke is named all the same', async () => {
  for (const workers of [1, 2, 4]) {
    const error = await train(steep('stop'), { workers }).catch((e: unknown) => e);
    expect((error as LockstepError).message).toMatch(/^step [1-4]: .*; shard [0-3], rows (\d+, )*100\b/);
    expect((error as LockstepError).message).not.toMatch(/inputs that are not finite/);
  }
});

test('a step whose second gradient breaks is skipped as if it had not been begun', async () => {
  const far = {
    ...job('skip'),
    data: { train: arrays(blobs(256, 6, 3)) },
    optimizer: sam(sgd({ lr: 0.1 }), { rho: 1e38 }),
  };
  const one = await train({ ...far, steps: 1 }, { workers: 1 });
  const ten = await train({ ...far, steps: 10 }, { workers: 2 });
  expect(one.skippedSteps).toBe(1);
  expect(ten.skippedSteps).toBe(10);
  expect(ten.parametersSha256).toBe(one.parametersSha256);
  const error = await train(far, { workers: 2 }).catch((e: unknown) => e);
  expect((error as LockstepError).message).toMatch(/^step 11: .*too many bad steps in a row/);
});

test('bad steps in a row are counted across an interruption', async () => {
  const data = blobs(256, 6, 3);
  data.x.data.fill(Number.NaN);
  const bad = { ...job('skip'), data: { train: arrays(data, { allowNonFinite: true }) } };
  const runDir = mkdtempSync(join(tmpdir(), 'lockstep-bad-'));
  try {
    expect((await train({ ...bad, steps: 6 }, { workers: 2, runDir })).skippedSteps).toBe(6);
    const error = await train({ ...bad, epochs: 9 }, { workers: 1, runDir, resume: 'auto' }).catch((e: unknown) => e);
    expect((error as LockstepError).message).toMatch(/^step 11: .*too many bad steps in a row/);
  } finally {
    rmSync(runDir, { recursive: true });
  }
});

test('skip ends after ten bad steps in a row', async () => {
  const data = blobs(256, 6, 3);
  data.x.data.fill(Number.NaN);
  const error = await train(
    { ...job('skip'), data: { train: arrays(data, { allowNonFinite: true }) }, epochs: 9 },
    { workers: 2 },
  ).catch((e: unknown) => e);
  expect((error as LockstepError).message).toMatch(/^step 11: .*too many bad steps in a row/);
});
