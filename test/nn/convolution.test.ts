import { expect, test } from 'vitest';
import {
  avgPool1d, avgPool2d, conv1d, conv2d, convTranspose2d, dense, depthwiseConv2d, flatten, globalAvgPool, globalMaxPool, type Layer,
  maxPool1d, maxPool2d, normal, reshape, sequential,
} from '../../src/nn/index.ts'; // biome-ignore format: a list
import { evaluate, f32, trace } from './harness.ts';

const same = { padding: 'same' } as const;

/** Shape of one row, layer, shape of one row of the result, shapes of the parameters. */
const SHAPES: [string, number[], Layer, number[], Record<string, number[]>][] = [
  ['conv2d', [28, 28], conv2d(32, 3, 'relu', same), [28, 28, 32], { weight: [3, 3, 1, 32], bias: [32] }],
  ['conv2d stride', [9, 8, 3], conv2d(4, [3, 2], { stride: 2 }), [4, 4, 4], { weight: [3, 2, 3, 4], bias: [4] }],
  ['conv2d groups', [9, 8, 6], conv2d(4, 3, undefined, { groups: 2, bias: false }), [7, 6, 4], { weight: [3, 3, 3, 4] }],
  ['conv1d', [20, 3], conv1d(8, 5, 'tanh', { padding: 2, dilation: 2 }), [16, 8], { weight: [5, 3, 8], bias: [8] }],
  ['conv1d, one channel', [20], conv1d(8, 5), [16, 8], { weight: [5, 1, 8], bias: [8] }],
  ['depthwiseConv2d', [9, 8, 6], depthwiseConv2d(3, same), [9, 8, 6], { weight: [3, 3, 1, 6], bias: [6] }],
  ['depthwise twice', [9, 8, 6], depthwiseConv2d(3, 'relu', { multiplier: 2 }), [7, 6, 12], { weight: [3, 3, 1, 12], bias: [12] }],
  ['convTranspose2d', [4, 5, 6], convTranspose2d(3, 3, 'relu', { ...same, stride: 2 }), [8, 10, 3], { weight: [3, 3, 3, 6], bias: [3] }],
  ['convTranspose2d valid', [4, 5, 6], convTranspose2d(3, 3, { stride: 2, outputPadding: 1 }), [10, 12, 3], { weight: [3, 3, 3, 6], bias: [3] }],
  ['maxPool2d', [9, 8, 6], maxPool2d(), [4, 4, 6], {}],
  ['avgPool2d', [9, 8, 6], avgPool2d([3, 2], { stride: 1 }), [7, 7, 6], {}],
  ['maxPool1d', [9, 6], maxPool1d(3), [3, 6], {}],
  ['avgPool1d', [9, 6], avgPool1d(2, { ...same, stride: 2 }), [5, 6], {}],
  ['globalAvgPool', [9, 8, 6], globalAvgPool(), [6], {}],
  ['globalMaxPool', [9, 6], globalMaxPool(), [6], {}],
  ['reshape', [784], reshape([28, 28, 1]), [28, 28, 1], {}],
]; // biome-ignore format: a table

test.each(SHAPES)('%s: shapes of result and parameters', (_name, row, layer, expected, parameters) => {
  const traced = trace(sequential(layer), [f32('x', ...row)], 3);
  expect(traced.outputs.output.shape).toEqual([3, ...expected]);
  expect(Object.fromEntries(traced.parameters.map((p) => [p.name.split('/').at(-1), p.shape]))).toEqual(parameters);
});

test('bias, activation and pooling follow the convolution', () => {
  // One window of 2 x 2 ones over [[1, -2, 3], [4, 5, -6]]: sums 8 and 0; bias -1; relu; maximum.
  const model = (...more: Layer[]) => sequential(conv2d(1, 2, 'relu', { name: 'c' }), ...more);
  const run = (...more: Layer[]) =>
    evaluate({
      fields: [f32('x', 2, 3)],
      rows: 1,
      data: { x: [1, -2, 3, 4, 5, -6] },
      model: model(...more),
      parameters: { 'c/weight': [1, 1, 1, 1], 'c/bias': [-1] },
    }).output();
  expect([...run()]).toEqual([7, 0]);
  expect([...run(maxPool2d([1, 2]))]).toEqual([7]);
  expect([...run(avgPool2d([1, 2]))]).toEqual([3.5]);
  expect([...run(globalAvgPool())]).toEqual([3.5]);
  expect([...run(flatten(), reshape([2, 1]), maxPool1d(2))]).toEqual([7]);
});

test('fans count the positions of the window', () => {
  const specs = (layer: Layer) => trace(sequential(layer), [f32('x', 8, 8, 6)]).parameters;
  const std = (fanIn: number) => ({ kind: 'normal', mean: 0, std: Math.sqrt(2 / fanIn) });
  expect(specs(conv2d(10, 3, 'relu'))[0].init).toEqual(std(9 * 6));
  expect(specs(conv2d(10, 3, 'relu', { groups: 2 }))[0].init).toEqual(std(9 * 3));
  expect(specs(conv2d(4, 2))[0].init).toMatchObject({ kind: 'uniform', high: Math.sqrt(6 / (4 * 6 + 4 * 4)) });
  expect(specs(conv2d(4, 2, { init: normal(0.5) }))[0].init).toEqual({ kind: 'normal', mean: 0, std: 0.5 });
});

test.each<[string, () => unknown, string, RegExp]>([
  ['filters', () => conv2d(0, 3), 'E_OPTION', /conv2d: filters/],
  ['a window', () => conv2d(8, [3]), 'E_OPTION', /size.*list of 2/],
  ['an unknown option', () => conv2d(8, 3, { paddding: 'same' } as never), 'E_OPTION', /did you mean 'padding'/],
  ['an activation', () => conv2d(8, 3, 'rleu' as never), 'E_OPTION', /did you mean 'relu'/],
  ['groups of filters', () => conv2d(8, 3, { groups: 3 }), 'E_OPTION', /divisor of 8 filters/],
  ['groups of channels', () => trace(sequential(conv2d(8, 3, { groups: 4 })), [f32('x', 8, 8, 6)]), 'E_OPTION', /divisor of the 6 channels/],
  ['flat rows', () => trace(sequential(conv2d(8, 3)), [f32('x', 784)]), 'E_SHAPE', /layer conv2d: conv2d.*\[2, 784\].*reshape\(\[28, 28, 1\]\)/s],
  ['a large window', () => trace(sequential(dense(4), conv2d(8, 7, { name: 'big' })), [f32('x', 5, 5, 3)]), 'E_SHAPE', /layer big: conv2d.*at least 7 x 7.*5 x 5/s],
  ['a reshape', () => trace(sequential(reshape([28, 28])), [f32('x', 100)]), 'E_SHAPE', /784 elements.*100/s],
  ['a pool without positions', () => trace(sequential(globalAvgPool()), [f32('x', 10)]), 'E_SHAPE', /globalAvgPool/],
])('%s: refused with place and remedy', (_name, make, code, message) => {
  expect(make).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
}); // biome-ignore format: a table
