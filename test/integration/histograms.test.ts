import { dense, type HistogramRecord, meanSquaredError, type SinkRecord, sequential, sgd, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { expect, test } from 'vitest';
import { philox } from '../fixtures/philox.ts';

const random = philox(3);
const x = Float32Array.from({ length: 256 * 8 }, () => random() - 0.5);
const y = Float32Array.from({ length: 256 }, (_, i) => x[8 * i] * 3 - x[8 * i + 1]);

async function histogramsOf(workers: number, clip = {}) {
  const seen: HistogramRecord[] = [];
  const sink = {
    open() {},
    write: (records: readonly SinkRecord[]) => void seen.push(...records.filter((r) => r.kind === 'histogram')),
    close() {},
  };
  const result = await train(
    {
      data: { train: arrays({ x: { data: x, shape: [256, 8] }, y }) },
      model: sequential(dense(150, 'relu'), dense(1)),
      loss: meanSquaredError(),
      optimizer: sgd({ lr: 0.05 }),
      clip,
      batchSize: 64,
      shards: 4,
      steps: 6,
      seed: 2,
    },
    { workers, sinks: [sink], histogramSteps: 3 },
  );
  return { seen, result };
}

test('every weight is counted in its bucket, every gradient in the norm, on any number of workers', async () => {
  const { seen, result } = await histogramsOf(2, { globalNorm: 0.5 });
  expect(seen.map(({ step }) => step)).toEqual([3, 6]);
  const names = Object.keys(result.parameters);
  const last = seen[1].histograms;
  expect(last.map(({ tensor, of }) => `${of}/${tensor}`).sort()).toEqual(
    names.flatMap((name) => [`weights/${name}`, `gradients/${name}`]).sort(),
  );
  for (const { tensor, limits, counts, ...numbers } of last.filter(({ of }) => of === 'weights')) {
    const values = [...result.parameters[tensor].data];
    const within = limits.map((limit, i) => values.filter((v) => v <= limit && v > (limits[i - 1] ?? -1e9)).length);
    expect(counts).toEqual(within);
    expect(numbers).toMatchObject({ count: values.length, min: Math.min(...values), max: Math.max(...values) });
    expect(numbers.sum).toBeCloseTo(
      values.reduce((a, b) => a + b),
      6,
    );
  }
  const squares = last.reduce((sum, { of, sumOfSquares }) => sum + (of === 'gradients' ? sumOfSquares : 0), 0);
  const { gradNorm, clipScale } = result.history[5];
  expect(clipScale).toBeLessThan(1);
  expect(Math.sqrt(squares)).toBeCloseTo(gradNorm, 6); // before clipping

  const { seen: alone } = await histogramsOf(1, { globalNorm: 0.5 });
  expect(alone.map(countsOf)).toEqual(seen.map(countsOf));
});

const countsOf = ({ histograms }: HistogramRecord) => histograms.map(({ tensor, of, limits, counts }) => [tensor, of, limits, counts]); // biome-ignore format: one line

test('where elements are clipped, gradients are those after that', async () => {
  const { seen } = await histogramsOf(2, { value: 0.01 });
  for (const { of, min, max } of seen[1].histograms) {
    if (of === 'gradients') expect(Math.max(-min, max)).toBeLessThanOrEqual(Math.fround(0.01));
  }
});
