import { adamw, crossEntropy, defineJob, dense, sequential, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { expect, test } from 'vitest';
import { createSampler } from '../../src/data/sampler.ts';
import { blobs } from '../fixtures/blobs.ts';

const [ROWS, IN, HIDDEN, OUT, BATCH, STEPS] = [300, 12, 16, 3, 64, 25];
const [LR, DECAY, CLIP] = [0.01, 0.05, 0.2];

/** The same training once more, in plain f64 loops and by the formulas of the papers. */
function plainTraining(p: Record<string, Float64Array>, x: Float32Array, y: Int32Array, seed: number): number[] {
  const sampler = createSampler({ size: ROWS, batchSize: BATCH, seed, shuffle: true });
  const names = Object.keys(p);
  const m = names.map((n) => new Float64Array(p[n].length));
  const v = names.map((n) => new Float64Array(p[n].length));
  const ids = new Int32Array(BATCH);
  const losses: number[] = [];
  for (let t = 1; t <= STEPS; t++) {
    const rows = sampler.ids(t, 0, 1, ids);
    const g = names.map((n) => new Float64Array(p[n].length));
    const [w1, b1, w2, b2] = names.map((n) => p[n]);
    let total = 0;
    for (let r = 0; r < rows; r++) {
      const row = x.subarray(ids[r] * IN, (ids[r] + 1) * IN);
      const h = Array.from({ length: HIDDEN }, (_, j) => {
        let z = b1[j];
        for (let i = 0; i < IN; i++) z += row[i] * w1[i * HIDDEN + j];
        return Math.max(0, z);
      });
      const logits = Array.from({ length: OUT }, (_, k) => h.reduce((s, hj, j) => s + hj * w2[j * OUT + k], b2[k]));
      const sum = logits.reduce((s, z) => s + Math.exp(z), 0);
      total += Math.log(sum) - logits[y[ids[r]]];
      const dz = logits.map((z, k) => (Math.exp(z) / sum - (k === y[ids[r]] ? 1 : 0)) / rows);
      for (let k = 0; k < OUT; k++) {
        g[3][k] += dz[k];
        for (let j = 0; j < HIDDEN; j++) g[2][j * OUT + k] += h[j] * dz[k];
      }
      for (let j = 0; j < HIDDEN; j++) {
        if (h[j] <= 0) continue;
        const dh = dz.reduce((s, d, k) => s + d * w2[j * OUT + k], 0);
        g[1][j] += dh;
        for (let i = 0; i < IN; i++) g[0][i * HIDDEN + j] += row[i] * dh;
      }
    }
    losses.push(total / rows);
    const norm = Math.sqrt(g.reduce((s, a) => s + a.reduce((q, e) => q + e * e, 0), 0));
    const scale = Math.min(1, CLIP / (norm + 1e-6));
    names.forEach((name, n) => {
      for (let i = 0; i < g[n].length; i++) {
        const e = g[n][i] * scale;
        m[n][i] = 0.9 * m[n][i] + 0.1 * e;
        v[n][i] = 0.999 * v[n][i] + 0.001 * e * e;
        p[name][i] *= 1 - LR * DECAY;
        p[name][i] -= (LR * (m[n][i] / (1 - 0.9 ** t))) / (Math.sqrt(v[n][i] / (1 - 0.999 ** t)) + 1e-8);
      }
    });
  }
  return losses;
}

test('25 steps of the parallel step follow plain f64 training', async () => {
  const data = blobs(ROWS, IN, OUT);
  const job = defineJob({
    data: { train: arrays(data) },
    model: sequential(dense(HIDDEN, 'relu'), dense(OUT)),
    loss: crossEntropy(),
    optimizer: adamw({ lr: LR, weightDecay: DECAY }),
    clip: { globalNorm: CLIP },
    batchSize: BATCH,
    shards: 4,
    steps: STEPS,
    seed: 11,
  });
  // A run whose learning rate cannot move anything gives the initial parameters.
  const initial = await train({ ...job, steps: 1, optimizer: adamw({ lr: 1e-30, weightDecay: 0 }) }, { workers: 1 });
  const parameters = Object.fromEntries(
    Object.entries(initial.parameters).map(([name, { data: values }]) => [name, Float64Array.from(values)]),
  );
  const expected = plainTraining(parameters, data.x.data, data.y, 11);
  const result = await train(job, { workers: 2 });

  const losses = Array.from(result.history, (r) => r.loss);
  expect(losses).toHaveLength(STEPS);
  losses.forEach((loss, i) => {
    expect(Math.abs(loss / expected[i] - 1), `loss of step ${i + 1}`).toBeLessThan(1e-5);
  });
  for (const [name, { data: values }] of Object.entries(result.parameters)) {
    values.forEach((value, i) => {
      expect(Math.abs(value - parameters[name][i]), `${name}[${i}]`).toBeLessThan(2e-5);
    });
  }
});
