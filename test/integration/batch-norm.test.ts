import { channel } from 'node:diagnostics_channel';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import {
  adam, batchNorm, conv2d, crossEntropy, defineJob, dense, flatten, type Job, type Layer, reshape, sam, scheduleFreeAdamw,
  sequential, sgd, type TrainOptions, type TrainResult, train,
} from 'lockstep'; // biome-ignore format: a list
import { arrays } from 'lockstep/data';
import * as ops from 'lockstep/ops';
import { Predictor } from 'lockstep/predict';
import { afterAll, describe, expect, test } from 'vitest';
import { createSampler } from '../../src/data/sampler.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import { blobs } from '../fixtures/blobs.ts';

type BlobJob = Job<{ x: 'f32'; y: 'i32' }>;

const folder = mkdtempSync(join(tmpdir(), 'lockstep-batch-norm-'));
afterAll(() => rmSync(folder, { recursive: true }));
let runs = 0;
const newRunDir = () => join(folder, `run${runs++}`);

const ROWS = 700;
const data = blobs(ROWS, 16, 4);

/** Five shards of 25 or 26 rows, fewer in the last batch of an epoch; normalised before and behind a convolution, and along both axes. */
function job(overrides: Partial<BlobJob> = {}): BlobJob {
  return defineJob({
    data: { train: arrays(data), validation: 0.2 },
    model: sequential(
      batchNorm({ momentum: 0.3, name: 'first' }),
      reshape([4, 4, 1]),
      conv2d(6, 3, 'relu', { padding: 'same' }),
      batchNorm({ name: 'last' }),
      batchNorm({ axis: 1, name: 'rows' }),
      flatten(),
      dense(4),
    ),
    loss: crossEntropy(),
    optimizer: adam({ lr: 0.01 }),
    clip: { globalNorm: 1 },
    batchSize: 128,
    shards: 5,
    epochs: 3,
    seed: 7,
    ...overrides,
  });
}

const valuesOf = ({ parameters }: TrainResult, name: string): number[] => Array.from(parameters[name].data);
const essence = ({ parametersSha256, loss, metrics, step }: TrainResult) => ({ parametersSha256, loss, metrics, step });

test('ends in the same bytes on 1 to 4 workers, running statistics and evaluation included', async () => {
  const results = [];
  for (const workers of [1, 2, 3, 4]) results.push(await train(job(), { workers }));
  for (const result of results.slice(1)) expect(essence(result)).toEqual(essence(results[0]));
  expect(results[0].metrics['val.accuracy']).toBeGreaterThan(0.8);
  expect(valuesOf(results[0], 'last/runningVariance').every((v) => v > 0 && v !== 1)).toBe(true);
});

describe('running statistics', () => {
  const only = (first: Layer, more: Partial<BlobJob> = {}): BlobJob =>
    job({ model: sequential(first, dense(4)), ...more });

  test('follow the moments of the global batch, whatever the shards, as PyTorch keeps them for one', async () => {
    const { running } = JSON.parse(
      readFileSync(new URL('../golden/batch-norm-pytorch-1.13.json', import.meta.url), 'utf8'),
    );
    const [rows, width] = running.shape;
    // As scripts/golden/batch-norm.py has them.
    const x = Float32Array.from({ length: rows * width }, (_, i) => ((7919 * i + 104729 * 7) % 1024) / 512 - 1);
    const y = Int32Array.from({ length: rows }, (_, i) => i % 4);
    for (const shards of [1, 5]) {
      const result = await train(
        only(batchNorm({ momentum: running.momentum }), {
          data: { train: arrays({ x: { data: x, shape: running.shape }, y }) },
          ...{ batchSize: 'full', shards, epochs: running.steps },
        }),
        { workers: 2 },
      );
      for (const [name, want] of [
        ['runningMean', running.mean],
        ['runningVariance', running.variance],
      ] as const) {
        valuesOf(result, `batchNorm/${name}`).forEach((v, c) => void expect(Math.abs(v - want[c])).toBeLessThan(1e-7));
      }
    }
  });

  test('count every committed step of every batch once, and no skipped one', async () => {
    // Rows 0 to 9 overflow: whichever batch they come in is skipped.
    const x = data.x.data.slice();
    for (let i = 0; i < 10 * 16; i++) x[i] = 3e38;
    const model = (inputs: { readonly x: Tensor }) => {
      const overflow = ops.mul(ops.mul(inputs.x, 1e-30), ops.mul(inputs.x, 1e-5));
      return dense(4)(ops.add(batchNorm({ momentum: 0.25 })(inputs.x), overflow));
    };
    const result = await train(
      job({
        data: { train: arrays({ x: { data: x, shape: [ROWS, 16] }, y: data.y }) },
        ...{ model, nonFinite: 'skip', batchSize: 8, shards: 2, epochs: 1 },
      }),
      { workers: 2 },
    );
    expect(result.skippedSteps).toBeGreaterThan(0);
    const sampler = createSampler({ size: ROWS, batchSize: 8, seed: 7, shuffle: true });
    const mean = new Float64Array(16);
    const variance = new Float64Array(16).fill(1);
    for (let t = 1; t <= result.step; t++) {
      const ids = new Int32Array(sampler.batchRows(t));
      sampler.ids(t, 0, 1, ids);
      if (ids.some((id) => id < 10)) continue;
      for (let c = 0; c < 16; c++) {
        const values = Array.from(ids, (id) => x[16 * id + c]);
        const centre = values.reduce((sum, v) => sum + v, 0) / values.length;
        const spread = values.reduce((sum, v) => sum + (v - centre) ** 2, 0) / (values.length - 1);
        mean[c] += 0.25 * (centre - mean[c]);
        variance[c] += 0.25 * (spread - variance[c]);
      }
    }
    valuesOf(result, 'batchNorm/runningMean').forEach((v, c) => void expect(Math.abs(v - mean[c])).toBeLessThan(1e-6));
    valuesOf(result, 'batchNorm/runningVariance').forEach(
      (v, c) => void expect(Math.abs(v / variance[c] - 1)).toBeLessThan(1e-5),
    );
  });

  test.each([
    ['further passes of a driver', sam(sgd({ lr: 0.5 }), { rho: 0.05 })],
    ['parameters to evaluate with', scheduleFreeAdamw({ lr: 0.1 })],
  ])('do not depend on %s', async (_, optimizer) => {
    const first = only(batchNorm());
    const plain = await train(first, { workers: 1 });
    const other = await train({ ...first, optimizer }, { workers: 2 });
    for (const name of ['batchNorm/runningMean', 'batchNorm/runningVariance']) {
      expect(valuesOf(other, name)).toEqual(valuesOf(plain, name));
    }
    expect(other.metrics['val.accuracy']).toBeGreaterThan(0.7);
  });
});

test('a resumed run ends in the same bytes, a warm start begins with the statistics, and the Predictor answers as evaluation does', async () => {
  const whole = await train(job(), { workers: 2 });
  const runDir = newRunDir();
  const part = await train(job({ steps: 9 }), { workers: 3, runDir });
  const rest = await train(job(), { workers: 2, runDir, resume: 'auto' });
  expect(rest.trainedSteps).toBe(whole.step - 9);
  expect(rest.parametersSha256).toBe(whole.parametersSha256);
  expect(rest.metrics['val.loss']).toBe(whole.metrics['val.loss']);

  const frozen = job({ optimizer: sgd({ lr: 1e-30 }), epochs: 1 });
  const momentumless = sequential(batchNorm({ momentum: 0 }), dense(4));
  const start = newRunDir();
  await train(job({ model: sequential(batchNorm(), dense(4)), steps: 9 }), { workers: 1, runDir: start });
  const warm = await train({ ...frozen, model: momentumless }, { workers: 2, warmStart: start });
  const cold = await train({ ...frozen, model: momentumless }, { workers: 2 });
  expect(valuesOf(cold, 'batchNorm/runningMean').every((v) => v === 0)).toBe(true);
  expect(valuesOf(warm, 'batchNorm/runningMean').some((v) => v === 0)).toBe(false);

  const predictor = await Predictor.load(runDir, { kind: 'classification' });
  const answers = await predictor.predict(
    Array.from({ length: 50 }, (_, i) => ({ x: data.x.data.slice(16 * i, 16 * i + 16) })),
  );
  const right = answers.filter(({ label }, i) => Number(label) === data.y[i]).length;
  expect(right / 50).toBeGreaterThan(0.8);
  predictor.dispose();
  expect(part.step).toBe(9);
});

test('threads that are lost at any moment change nothing', async () => {
  const threads = new Set<Worker>();
  const watch = (message: unknown): void => {
    const { worker } = message as { worker: Worker };
    threads.add(worker);
    worker.once('exit', () => threads.delete(worker));
  };
  const long = job({ epochs: 25, checkpoint: { everySteps: 20 } });
  const undisturbed = await train(long, { workers: 2, runDir: newRunDir() });
  let lost = 0;
  let armed = 4;
  const options: TrainOptions = {
    workers: 2,
    runDir: newRunDir(),
    onProgress: (event) => {
      if (event.kind === 'note') lost += 1;
      if (event.kind !== 'steps' || armed === 0 || lost < 4 - armed) return;
      armed -= 1;
      const strike = (polls: number): unknown =>
        polls > 0 ? setImmediate(strike, polls - 1) : void [...threads].at(armed % 2)?.terminate();
      strike(7 * armed);
    },
  };
  channel('worker_threads').subscribe(watch);
  try {
    expect(essence(await train(long, options))).toEqual(essence(undisturbed));
  } finally {
    channel('worker_threads').unsubscribe(watch);
  }
  expect(lost).toBeGreaterThan(0);
});
