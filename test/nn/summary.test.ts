import { expect, test } from 'vitest';
import { compileProgram } from '../../src/graph/compile.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import { concat, reshape } from '../../src/graph/ops/index.ts';
import { crossEntropy, dense, dropout, renderSummary, sequential, summarize } from '../../src/nn/index.ts';
import { applyLoss } from '../../src/nn/losses.ts';
import { f32, i32, trace } from './harness.ts';

const ROWS = 128;
const traced = trace(
  sequential(dense(512, 'relu'), dropout(0.2), dense(256, 'relu'), dense(10)),
  [f32('x', 784), i32('y', 10)],
  ROWS,
);

test('the MLP 784-512-256-10 has 535,818 parameters', () => {
  const summary = summarize({ layers: traced.layers, rows: ROWS });
  expect(summary.layers).toEqual([
    { name: 'dense', kind: 'dense', output: '[batch, 512]', parameters: 784 * 512 + 512 },
    { name: 'dropout', kind: 'dropout', output: '[batch, 512]', parameters: 0 },
    { name: 'dense_1', kind: 'dense', output: '[batch, 256]', parameters: 512 * 256 + 256 },
    { name: 'dense_2', kind: 'dense', output: '[batch, 10]', parameters: 256 * 10 + 10 },
  ]);
  expect(summary.parameters).toBe(535_818);
  expect(summary.parameterBytes).toBe(4 * 535_818);
  const made = traced.parameters.reduce((total, { shape }) => total + shape.reduce((a, b) => a * b), 0);
  expect(made).toBe(summary.parameters);
});

test('is rendered as a table with totals, FLOP and memory', () => {
  const { entries } = layoutTensors(traced.parameters);
  const { flops } = compileProgram({
    rows: ROWS,
    fields: [f32('x', 784), i32('y', 10)],
    tensors: entries,
    outputs: {},
    loss: applyLoss(crossEntropy(), traced),
    gradients: true,
  });
  // Forward and weight gradients of all layers, input gradients of all but the first.
  expect(flops).toBe(2 * ROWS * (3 * (784 * 512 + 512 * 256 + 256 * 10) - 784 * 512));
  const text = renderSummary(
    summarize({
      layers: traced.layers,
      rows: ROWS,
      flopsPerStep: flops,
      regions: [
        { name: 'parameters', bytes: 4 * 535_824 },
        { name: 'slots', bytes: 8 * 535_824 },
        { name: 'control', bytes: 640 },
      ],
      maxWorkers: 1021,
    }),
  );
  expect(text.split('\n')).toEqual([
    'layer    kind     output        parameters',
    '------------------------------------------',
    'dense    dense    [batch, 512]     401,920',
    'dropout  dropout  [batch, 512]           0',
    'dense_1  dense    [batch, 256]     131,328',
    'dense_2  dense    [batch, 10]        2,570',
    '',
    'parameters: 535,818 (2.0 MiB)',
    'FLOP a step: 308.2 M',
    '',
    'memory',
    '  parameters  2.0 MiB',
    '  slots       4.1 MiB',
    '  control       640 B',
    '  total       6.1 MiB',
    'largest number of workers that fits: 1,021',
  ]);
});

test('axis 0 is the batch or a multiple of it, shared layers are counted once', () => {
  const fields = [f32('a', 4, 6), f32('b', 4, 6)];
  const model = sequential((x) => reshape(x, [-1, 6]), dense(2));
  const { layers } = trace(({ a, b }) => concat([model(a), model(b)]), fields, 3);
  const summary = summarize({ layers, rows: 3 });
  expect(summary.layers.map((row) => row.output)).toEqual(['[4*batch, 6]', '[4*batch, 2]']);
  expect(summary.parameters).toBe(14);
});
