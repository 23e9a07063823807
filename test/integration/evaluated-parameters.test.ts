import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adamw, crossEntropy, defineJob, dense, ema, type OptimizerDescription, scheduleFreeAdamw, sequential, train,
} from 'lockstep'; // biome-ignore format: a list
import { arrays } from 'lockstep/data';
import { Predictor } from 'lockstep/predict';
import { afterAll, describe, expect, test } from 'vitest';
import { tensorTable } from '../../src/checkpoint/manifest.ts';
import { findCheckpoint } from '../../src/checkpoint/store.ts';
import { nodeFs } from '../../src/checkpoint/store-fs.ts';
import { blobs } from '../fixtures/blobs.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-evaluated-'));
afterAll(() => rmSync(folder, { recursive: true }));

const data = blobs(300, 8, 3);
const job = (optimizer: OptimizerDescription, steps: number) =>
  defineJob({
    data: { train: arrays(data), validation: 0.2 },
    model: sequential(dense(12, 'tanh'), dense(3)),
    loss: crossEntropy(),
    optimizer,
    batchSize: 64,
    steps,
    seed: 4,
  });

describe.each([
  ['ema', ema(adamw({ lr: 0.02 }), { decay: 0.9 })],
  ['scheduleFreeAdamw', scheduleFreeAdamw({ lr: 0.02 })],
])('%s evaluates other parameters than it trains', (name, optimizer) => {
  const runDir = join(folder, name);

  test('checkpoints hold both: what was evaluated predicts, what was trained goes on', async () => {
    const part = await train(job(optimizer, 9), { workers: 2, runDir });
    const { checkpoint } = findCheckpoint(nodeFs, runDir);
    const { entries } = tensorTable(checkpoint.manifest);
    let differ = 0;
    for (const { name: tensor, offset, size } of entries) {
      const saved = checkpoint.parameters.subarray(offset, offset + size);
      expect(saved).toEqual(part.parameters[tensor].data);
      differ += saved.filter((value, i) => value !== checkpoint.trained?.[offset + i]).length;
    }
    expect(differ).toBeGreaterThan(100);

    // The predictor answers by them: its first row in double precision.
    const row = [...data.x.data.slice(0, 8)];
    const predictor = await Predictor.load(runDir, { kind: 'classification' });
    const [{ probabilities }] = await predictor.predict([{ x: row }]);
    const layer = (input: readonly number[], prefix: string) => {
      const [weight, bias] = ['weight', 'bias'].map((kind) => part.parameters[`${prefix}/${kind}`].data);
      return Array.from(bias, (b, j) => input.reduce((sum, v, i) => sum + v * weight[i * bias.length + j], b));
    };
    const logits = layer(layer(row, 'dense').map(Math.tanh), 'dense_1');
    const sum = logits.reduce((total, z) => total + Math.exp(z), 0);
    for (const [i, p] of Object.values(probabilities).entries()) expect(p).toBeCloseTo(Math.exp(logits[i]) / sum, 4);
  });

  test('a resumed run ends as one that was never stopped', async () => {
    const whole = await train(job(optimizer, 14), { workers: 1 });
    const rest = await train(job(optimizer, 14), { workers: 3, runDir, resume: 'auto' });
    expect(rest.history[0].step).toBe(10);
    expect(rest.parametersSha256).toBe(whole.parametersSha256);
    expect(rest.metrics).toEqual(whole.metrics);
    const again = await train(job(optimizer, 14), { workers: 2, runDir, resume: 'auto' }); // nothing is left to train
    expect(again.parametersSha256).toBe(whole.parametersSha256);
  });

  test('a warm start begins with what was evaluated', async () => {
    const { parameters } = findCheckpoint(nodeFs, runDir).checkpoint;
    const first = await train(
      { ...job(adamw({ lr: 1e-30, weightDecay: 0 }), 1) },
      { workers: 1, warmStart: runDir, runDir: `${runDir}-warm` },
    );
    const weight = first.parameters['dense/weight'].data;
    expect(weight).toEqual(parameters.subarray(0, weight.length));
  });
});
