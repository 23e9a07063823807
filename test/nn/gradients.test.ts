import { expect, test } from 'vitest';
import type { FieldInfo } from '../../src/data/contract.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import * as nn from '../../src/nn/index.ts';
import { traceModel } from '../../src/nn/trace.ts';
import { gradCheck, type InputNumbers } from '../../src/testing.ts';
import { f32, i32 } from './harness.ts';

/** Layers, which stand behind one that has parameters: so their gradient to what they are given counts, too. */
type Row = readonly [name: string, layer: nn.Layer | ((x: Tensor, seen: Tensor) => Tensor), x: readonly number[]];
const { sequential } = nn;
const [image, series] = [[6, 5, 4], [5, 4]]; // biome-ignore format: short

const ROWS: readonly Row[] = [
  ['dense', nn.dense(3, 'gelu'), [4]],
  ['activation', nn.activation('silu'), [4]],
  ['conv2d', nn.conv2d(3, 3, 'tanh', { padding: 'same', stride: 2 }), image],
  ['conv2d, groups, dilated', nn.conv2d(4, 2, 'silu', { groups: 2, dilation: 2, bias: false }), image],
  ['conv1d', nn.conv1d(3, 3, 'gelu', { padding: 2 }), series],
  ['depthwiseConv2d', nn.depthwiseConv2d(2, 'tanh', { multiplier: 2 }), image],
  ['convTranspose2d', nn.convTranspose2d(2, 3, 'tanh', { stride: 2, padding: 'same' }), image],
  ['maxPool2d', nn.maxPool2d(2), image],
  ['maxPool1d', nn.maxPool1d(3, { stride: 1 }), series],
  ['avgPool2d', nn.avgPool2d(3, { stride: 2, padding: 'same' }), image],
  ['avgPool1d', nn.avgPool1d(2), series],
  ['globalAvgPool', nn.globalAvgPool(), image],
  ['globalMaxPool', nn.globalMaxPool(), series],
  ['batchNorm', nn.batchNorm(), image],
  ['layerNorm', nn.layerNorm(), series],
  ['rmsNorm', nn.rmsNorm({ bias: true }), series],
  ['groupNorm', nn.groupNorm(2), series],
  ['rnn', nn.rnn(3), series],
  ['lstm', nn.lstm(3, { bidirectional: true }), series],
  ['gru', nn.gru(3, { layers: 2, return: 'sequence' }), series],
  ['multiHeadAttention', nn.multiHeadAttention({ heads: 2, causal: true, rotary: true }), series],
  ['multiHeadAttention, masked', (x, mask) => nn.multiHeadAttention({ heads: 2 })(x, { mask }), series],
  ['multiHeadAttention, crossed', (x, mask) => nn.multiHeadAttention({ heads: 1 })(x, { context: ops.tanh(nn.dense(3)(x)), mask }), series],
  ['positions', nn.positions(7), series],
  ['residual', nn.residual(nn.layerNorm(), nn.dense(4, 'tanh')), series],
  ['reshape', nn.reshape([10, 2]), series],
  ['flatten', nn.flatten(), series],
]; // biome-ignore format: a table

/** Finite differences through a model as users write it, in training; every parameter is asked for. */
function check(model: nn.Model, fields: readonly FieldInfo[], inputs: Readonly<Record<string, InputNumbers>>): void {
  const rows = 3;
  const traced = () => traceModel(model, fields, rows, { training: true });
  const result = gradCheck(() => ({ value: ops.square(ops.sub(traced().outputs.output, 0.1)) }), {
    parameters: Object.fromEntries(traced().parameters.map(({ name, shape }) => [name, { shape }])),
    inputs,
  });
  expect(result.error).toBeGreaterThanOrEqual(0);
}

test.each(ROWS)('%s', (_, layer, x) => {
  const mixed = nn.dense(4, 'tanh', { name: 'before' });
  check(
    ({ x: from, seen }: Record<string, Tensor>) => ('kind' in layer ? layer(mixed(from)) : layer(mixed(from), seen)),
    [f32('x', ...x), f32('seen', 5)],
    {
      x: { shape: [3, ...x] },
      seen: { shape: [3, 5], values: [1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0] },
    },
  );
});

test('embedding, tied to the output, or in front of a recurrent layer', () => {
  const table = () => nn.embedding(7, 4);
  const ids = { shape: [3, 5], dtype: 'i32', size: 7, values: [1, 4, 4, 0, 6, 2, 2, 2, 5, 1, 0, 3, 3, 6, 6] } as const;
  const model = ({ x }: Record<string, Tensor>) => {
    const tokens = table();
    return tokens.attend(nn.layerNorm()(tokens(x)));
  };
  check(model, [i32('x', 7, 5)], { x: ids });
  check(sequential(table(), nn.lstm(2)) as nn.Model, [i32('x', 7, 5)], { x: ids });
});
