import { expect, test } from 'vitest';
import type { Initializer } from '../../src/graph/program.ts';
import { referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';
import * as nn from '../../src/nn/index.ts';

const COUNT = 20_000;

/** What a worker would fill a tensor with. */
function draw(init: Initializer): Float64Array | Float32Array {
  const heap = referenceHeap(4 * COUNT + 64);
  const kernels = referenceKernels(heap);
  if (init.kind === 'constant') kernels.fill(64, init.value, COUNT);
  else if (init.kind === 'uniform') kernels.randomUniform(64, COUNT, 7, 11, 3, 0, 0, 0, init.low, init.high);
  else kernels.randomNormal(64, COUNT, 7, 11, 3, 0, 0, 0, init.mean, init.std);
  return heap.real.subarray(16, 16 + COUNT);
}

/** Mean, variance, and kurtosis (3 for normal, 1.8 for uniform numbers). */
function moments(values: ArrayLike<number>): { mean: number; variance: number; kurtosis: number } {
  const list = Array.from(values);
  const mean = list.reduce((s, v) => s + v, 0) / COUNT;
  const variance = list.reduce((s, v) => s + (v - mean) ** 2, 0) / COUNT;
  const fourth = list.reduce((s, v) => s + (v - mean) ** 4, 0) / COUNT;
  return { mean, variance, kurtosis: fourth / variance ** 2 };
}

const [IN, OUT] = [30, 20];

test.each([
  ['heNormal', nn.heNormal(), 2 / IN, 3],
  ['heUniform', nn.heUniform(), 2 / IN, 1.8],
  ['xavierNormal', nn.xavierNormal(), 2 / (IN + OUT), 3],
  ['xavierUniform', nn.xavierUniform(), 2 / (IN + OUT), 1.8],
  ['lecunNormal', nn.lecunNormal(), 1 / IN, 3],
  ['lecunUniform', nn.lecunUniform(), 1 / IN, 1.8],
  ['normal', nn.normal(0.02), 0.02 ** 2, 3],
  ['uniform', nn.uniform(-0.5, 0.5), 1 / 12, 1.8],
])('%s draws numbers of its mean, variance and shape', (_, rule, variance, kurtosis) => {
  const got = moments(draw(rule(IN, OUT)));
  // Six standard errors: of the mean, and of the variance (relative sqrt((kurtosis - 1) / n)).
  expect(Math.abs(got.mean)).toBeLessThan(6 * Math.sqrt(variance / COUNT));
  expect(Math.abs(got.variance / variance - 1)).toBeLessThan(6 * Math.sqrt((kurtosis - 1) / COUNT));
  expect(Math.abs(got.kurtosis - kurtosis)).toBeLessThan(0.2);
});

test('means and constants are what they are asked to be', () => {
  expect(Math.abs(moments(draw(nn.normal(0.1, 5)(1, 1))).mean - 5)).toBeLessThan(0.01);
  const values = draw(nn.uniform(2, 3)(1, 1));
  expect(Math.min(...values)).toBeGreaterThanOrEqual(2);
  expect(Math.max(...values)).toBeLessThan(3);
  expect([nn.zeros(), nn.ones(), nn.constant(0.5)].map((rule) => draw(rule(4, 4))[17])).toEqual([0, 1, 0.5]);
});

test.each([
  ['normal(-1)', () => nn.normal(-1)],
  ['normal(NaN)', () => nn.normal(Number.NaN)],
  ['uniform(1, 0)', () => nn.uniform(1, 0)],
  ['uniform(0, Infinity)', () => nn.uniform(0, Number.POSITIVE_INFINITY)],
  ['constant(NaN)', () => nn.constant(Number.NaN)],
])('%s is E_OPTION', (_, make) => {
  expect(make).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
});
