import { adam, crossEntropy, defineJob, dense, type Job, sequential, sgd, warmupCosine } from 'lockstep';
import { arrays } from 'lockstep/data';
import { describe, expect, it } from 'vitest';
import { optimizerText, rateText } from '../../src/cli/source-text.ts';
import { DivergenceWatch, type LrPoint, smooth, suggestRate } from '../../src/train/lr-curve.ts';
import { findLearningRate } from '../../src/train/lr-find.ts';
import { failure } from '../data/folder.ts';
import { blobs } from '../fixtures/blobs.ts';
import { philox } from '../fixtures/philox.ts';

/** A sweep over seven decades whose loss falls from 2 to 0.2, halfway at `centre`, with noise of the given height. */
function sweep(centre: number, noise: number, seed = 1): LrPoint[] {
  const random = philox(seed);
  return Array.from({ length: 200 }, (_, i) => {
    const lr = 1e-6 * 1e7 ** (i / 199);
    const fallen = 1 / (1 + (centre / lr) ** 2);
    return { step: i + 1, lr, loss: 2 - 1.8 * fallen + noise * (2 * random() - 1) };
  });
}

describe('the suggestion', () => {
  it.each([1e-4, 1e-3, 3e-2])('is where a curve falls fastest: %d', (centre) => {
    const exact = suggestRate(smooth(sweep(centre, 0)));
    const noisy = suggestRate(smooth(sweep(centre, 0.1)));
    expect(Math.abs(Math.log10((exact?.lr ?? 0) / centre))).toBeLessThan(0.1);
    expect(Math.abs(Math.log10((noisy?.lr ?? 0) / centre))).toBeLessThan(0.5);
  });

  it('is none where the loss does not fall', () => {
    expect(suggestRate(smooth(sweep(1e9, 0)))).toBeUndefined();
    expect(suggestRate(smooth(sweep(1e9, 0).map((p, i) => ({ ...p, loss: p.loss + i / 50 }))))).toBeUndefined();
    expect(suggestRate([])).toBeUndefined();
  });
});

it('divergence is a loss of four times the lowest, or no number; a noisy start is none', () => {
  const first = (losses: number[]) => {
    const watch = new DivergenceWatch();
    return losses.findIndex((loss) => watch.add(loss));
  };
  expect(first([2, 2.5, 1.5, 2, 2, 2, 2])).toBe(-1);
  expect(first([2, 2, Number.NaN, 2])).toBe(2);
  const exploding = first([...new Array(20).fill(1), ...Array.from({ length: 20 }, (_, i) => 1.5 ** i)]);
  expect(exploding).toBeGreaterThan(22);
  expect(exploding).toBeLessThan(34);
  expect(first(Array.from({ length: 60 }, (_, i) => -1 - i / 10))).toBe(-1); // a loss may be negative
});

describe('the line for the job', () => {
  it.each([
    [adam({ lr: 1e-3 }), 'adam({ lr: 2.5e-3 })'],
    [adam({ lr: 1e-3, betas: [0.9, 0.98] }), 'adam({ lr: 2.5e-3, betas: [0.9, 0.98] })'],
    [
      sgd({ lr: warmupCosine({ peak: 1, warmupSteps: 100 }) }),
      'sgd({ lr: warmupCosine({ peak: 2.5e-3, warmupSteps: 100 }) })',
    ],
    [
      { kind: 'lookahead', lr: 1, base: adam({ lr: 1, weightDecay: 1e-4 }), k: 5 },
      'lookahead(adam({ lr: 2.5e-3, weightDecay: 1e-4 }), { k: 5 })',
    ],
  ])('%j', (description, text) => expect(optimizerText(description, 0.0025)).toBe(text));

  it('has two digits', () =>
    expect([1e-5, 0.0123, 0.15, 1, 10].map(rateText)).toEqual(['1e-5', '1.2e-2', '0.15', '1', '10']));
});

describe('findLearningRate', () => {
  const job = (overrides: object = {}): Job<{ x: 'f32'; y: 'i32' }> =>
    defineJob({
      data: { train: arrays(blobs(300, 8, 4)), validation: 0.2, test: 0.2 },
      model: sequential(dense(32, 'relu'), dense(4)),
      loss: crossEntropy(),
      optimizer: sgd({ lr: 1e-9 }),
      batchSize: 32,
      epochs: 1,
      earlyStopping: { monitor: 'val.loss' },
      checkpoint: { everySteps: 1 },
      ...overrides,
    });

  it('sweeps the rate by equal factors, suggests a rate that learns, and stops where the loss diverges', async () => {
    const { points, suggestion = 0, diverged } = await findLearningRate(job(), { workers: 1, to: 1e6 });
    expect(points[0].lr).toBe(1e-6);
    const factor = 1e12 ** (1 / 199);
    for (let i = 1; i < points.length; i++) expect(points[i].lr / points[i - 1].lr / factor).toBeCloseTo(1, 9);
    expect(diverged).toBe(true);
    expect(points.length).toBeLessThan(200);
    // Gradient descent on a problem of this kind learns with rates of this order: neither crawls nor explodes.
    expect(suggestion).toBeGreaterThan(1e-3);
    expect(suggestion).toBeLessThan(1);
  });

  it('gives the same points on two workers', async () => {
    const options = { from: 1e-4, to: 1e4, steps: 60 };
    const one = await findLearningRate(job({ shards: 2 }), { ...options, workers: 1 });
    expect(await findLearningRate(job({ shards: 2 }), { ...options, workers: 2 })).toEqual(one);
  });

  it('refuses a sweep that is none', async () => {
    const error = await failure('E_OPTION', () => findLearningRate(job(), { from: 1, to: 0.1 }));
    expect(error.message).toContain('a rate above 1');
  });
});
