import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../src/graph/compile.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Tensor } from '../../src/graph/tensor.ts';

const ROWS = 6;
const { entries } = layoutTensors(
  [
    { name: 'w', shape: [4, 3] },
    { name: 'b', shape: [3] },
    { name: 'full', shape: [ROWS, 4] },
    { name: 'square', shape: [3, 3] },
  ].map((spec) => ({ ...spec, init: { kind: 'constant', value: 0 } as const })),
);

const x = () => ops.input('x', [ROWS, 4]);
const y = () => ops.input('y', [ROWS], 'i32');
const w = () => ops.parameter('w', [4, 3]);
const b = () => ops.parameter('b', [3]);

function rowLocal(loss: Tensor, weight?: Tensor): boolean {
  const fields = [
    { name: 'x', dtype: 'f32', shape: [4] },
    { name: 'y', dtype: 'i32', shape: [] },
  ] as const;
  return compileProgram({
    rows: ROWS,
    fields,
    tensors: entries,
    outputs: {},
    loss: { value: loss, weight },
    gradients: true,
  }).rowLocal;
}

const logits = () => ops.linear(x(), w(), b(), 'relu');

describe('models that compute each row by itself', () => {
  test.each([
    ['dense layers and cross-entropy', () => rowLocal(ops.softmaxCrossEntropy(logits(), y()))],
    ['dropout', () => rowLocal(ops.softmaxCrossEntropy(ops.dropout(logits(), 0.5), y()))],
    ['softmax and sums along a row', () => rowLocal(ops.sum(ops.square(ops.softmax(logits())), { axis: 1 }))],
    ['a layer used twice', () => {
      const square = ops.parameter('square', [3, 3]);
      return rowLocal(ops.square(ops.matmul(ops.matmul(logits(), square), ops.exp(square))));
    }],
    ['weights by row', () => rowLocal(ops.softmaxCrossEntropy(logits(), y()), ops.cast(y()))],
  ])('%s', (_, local) => expect(local()).toBe(true)); // biome-ignore format: a table
});

describe('models whose rows see each other, or their place in the shard', () => {
  test.each([
    ['the mean over the batch', () => rowLocal(ops.square(ops.sub(logits(), ops.mean(logits(), { axis: 0, keepDims: true }))))],
    ['softmax over the batch', () => rowLocal(ops.softmax(logits(), 0))],
    ['products of rows', () => rowLocal(ops.matmul(logits(), ops.transpose(logits(), [1, 0])))],
    ['a parameter for each place', () => rowLocal(ops.mul(x(), ops.parameter('full', [ROWS, 4])))],
    ['numbers for each place', () => rowLocal(ops.mul(logits(), ops.constant([1, 2, 3, 4, 5, 6], [ROWS, 1])))],
    ['a part of the rows', () => rowLocal(ops.slice(logits(), 0, 1, 3))],
    ['rows turned into columns', () => rowLocal(ops.softmax(ops.transpose(logits(), [1, 0])))],
    ['rows one after another', () => rowLocal(ops.concat([logits(), logits()], 0))],
  ])('%s', (_, local) => expect(local()).toBe(false)); // biome-ignore format: a table
});
