import {
  dense,
  meanSquaredError,
  type NoiseSample,
  type Sink,
  type SinkRecord,
  sequential,
  sgd,
  train,
} from 'lockstep';
import { arrays } from 'lockstep/data';
import { describe, expect, test } from 'vitest';
import { noiseScale, stepsFactor, workersUntilCritical } from '../../src/scaling/noise-scale.ts';
import { philox } from '../fixtures/philox.ts';

const [ROWS, WIDTH, CENTRE] = [8192, 4, 0.4];

/**
 * A quadratic bowl whose noise is known: the parameter w is drawn to rows t around a centre, so that the gradient of a row is a multiple of
 * w - t, tr(S) that of the mean of |t - mean|^2 and |G|^2 that of |w - mean|^2.
 */
function bowl() {
  const random = philox(3);
  const normal = () => random() + random() + random() + random() - 2;
  const t = Float32Array.from({ length: ROWS * WIDTH }, () => CENTRE + 2 * normal());
  return { x: { data: new Float32Array(ROWS).fill(1), shape: [ROWS, 1] }, y: { data: t, shape: [ROWS, WIDTH] }, t };
}

class Noise implements Sink {
  readonly samples: NoiseSample[] = [];
  open(): void {}
  write(records: readonly SinkRecord[]): void {
    for (const record of records) if (record.kind === 'gradient-noise') this.samples.push(record);
  }
  close(): void {}
}

const { t, ...columns } = bowl();
const job = {
  data: { train: arrays(columns) },
  model: sequential(dense(WIDTH, { bias: false })),
  loss: meanSquaredError(),
  optimizer: sgd({ lr: 1e-12 }), // it stays where it is
  batchSize: 256,
  shards: 8,
  epochs: 5,
};

function expected(w: Float32Array): number {
  const mean = Array.from({ length: WIDTH }, (_, j) => {
    let sum = 0;
    for (let r = 0; r < ROWS; r++) sum += t[r * WIDTH + j];
    return sum / ROWS;
  });
  let variance = 0;
  for (let i = 0; i < t.length; i++) variance += (t[i] - mean[i % WIDTH]) ** 2 / ROWS;
  return variance / mean.reduce((sum, m, j) => sum + (w[j] - m) ** 2, 0);
}

describe('the gradient-noise scale of a quadratic', () => {
  test.each([1, 2, 3])(
    'is what it is known to be, sampled by %i workers; the result keeps its bytes',
    async (workers) => {
      const sink = new Noise();
      const sampled = await train(job, { workers, sinks: [sink], gradientNoiseEvery: 2 });
      const plain = await train(job, { workers: 1 });
      expect(sampled.parametersSha256).toBe(plain.parametersSha256);
      expect(sink.samples.map(({ step }) => step)).toEqual(Array.from({ length: 80 }, (_, i) => 2 * i + 2));
      const [w] = Object.values(sampled.parameters);
      const scale = noiseScale(sink.samples);
      const known = expected(w.data);
      expect(scale?.criticalBatch).toBeGreaterThan(0.85 * known);
      expect(scale?.criticalBatch).toBeLessThan(1.15 * known);
      expect(scale?.error).toBeLessThan(0.15 * known);
    },
  );

  test('has no samples where a batch is one shard', async () => {
    const sink = new Noise();
    await train({ ...job, shards: 1, epochs: 1 }, { workers: 1, sinks: [sink], gradientNoiseEvery: 2 });
    expect(sink.samples).toEqual([]);
    expect(noiseScale(sink.samples)).toBeUndefined();
  });
});

/** Exact expectations: |G|^2 = 2, tr(S) = 6, parts of 8 rows of a batch of 32. */
const exact: NoiseSample = { step: 1, parts: 2 + 6 / 8, inverseRows: 1 / 8, whole: 2 + 6 / 32, inverseBatch: 1 / 32 };

test('two sizes of batches give noise and gradient exactly', () => {
  const scale = noiseScale([exact, exact]);
  expect(scale?.variance).toBeCloseTo(6, 12);
  expect(scale?.squaredGradient).toBeCloseTo(2, 12);
  expect(scale?.criticalBatch).toBeCloseTo(3, 12);
  expect(scale?.error).toBeCloseTo(0, 12);
});

test('a gradient that is lost in the noise has no critical batch', () => {
  expect(noiseScale([{ ...exact, parts: 6 / 8, whole: 6 / 32 - 0.01 }])?.criticalBatch).toBe(Number.POSITIVE_INFINITY);
});

test('at the critical batch twice the fewest steps are needed, and its rows say for how many workers', () => {
  expect(stepsFactor(100, 100)).toBe(2);
  expect(stepsFactor(100, 1e9)).toBeCloseTo(1, 6);
  expect(workersUntilCritical({ criticalBatch: 100 }, 32)).toBe(3);
  expect(workersUntilCritical({ criticalBatch: 10 }, 32)).toBe(1);
});
