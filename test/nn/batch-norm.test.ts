import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../src/graph/compile.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import * as ops from '../../src/graph/ops/index.ts';
import { batchNorm, dense, renderSummary, sequential, summarize } from '../../src/nn/index.ts';
import { traceModel } from '../../src/nn/trace.ts';
import { referenceExecutor } from '../../src/testing.ts';
import { f32, trace } from './harness.ts';

interface Case {
  readonly shape: number[];
  readonly axis: number;
  readonly epsilon: number;
  readonly y: number[];
  readonly dx: number[];
  readonly dWeight: number[];
  readonly dBias: number[];
  readonly evaluated: number[];
}

/** By scripts/golden/batch-norm.py, which says what the numbers are. */
const golden: { cases: Case[] } = JSON.parse(
  readFileSync(new URL('../golden/batch-norm-pytorch-1.13.json', import.meta.url), 'utf8'),
);
const numbers = (n: number, s: number): number[] =>
  Array.from({ length: n }, (_, i) => ((7919 * i + 104729 * (s + 1)) % 1024) / 512 - 1);
const size = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

function expectClose(got: ArrayLike<number>, want: readonly number[]): void {
  expect(got.length).toBe(want.length);
  for (const [i, value] of want.entries()) expect(Math.abs(got[i] - value)).toBeLessThan(1e-12);
}

describe.each(golden.cases)('as in PyTorch: $shape, channels at $axis, epsilon $epsilon', (c) => {
  const { shape, axis, epsilon } = c;
  const channels = shape[axis];
  const spec = (name: string, dims: number[]) => ({ name, shape: dims, init: { kind: 'constant', value: 0 } }) as const;

  test('in training, with gradients', () => {
    const { entries } = layoutTensors([spec('x', shape), spec('weight', [channels]), spec('bias', [channels])]);
    const [x, weight, bias] = entries.map((e) => ops.parameter(e.name, e.shape));
    const out = ops.batchNorm(x, weight, bias, { axis, epsilon });
    const program = compileProgram({
      rows: 1,
      fields: [],
      tensors: entries,
      outputs: { out },
      loss: { value: out, weight: ops.constant(numbers(size(shape), 5), shape) },
      gradients: true,
    });
    const executor = referenceExecutor(program, entries);
    entries.forEach(({ name }, s) => void executor.parameter(name).set(numbers(executor.parameter(name).length, s)));
    executor.run();
    expectClose(executor.output('out').data, c.y);
    expectClose(executor.gradient('x'), c.dx);
    expectClose(executor.gradient('weight'), c.dWeight);
    expectClose(executor.gradient('bias'), c.dBias);
  });

  test('in evaluation, with the running statistics', () => {
    const model = sequential(batchNorm({ axis, epsilon }));
    const fields = [f32('x', ...shape.slice(1))];
    const traced = traceModel(model, fields, shape[0], { training: false });
    const { entries } = layoutTensors([...traced.parameters, ...traced.buffers.map((b) => ({ ...b, buffer: true }))]);
    expect(entries.map(({ name, buffer }) => [name, buffer === true])).toEqual([
      ['batchNorm/weight', false],
      ['batchNorm/bias', false],
      ['batchNorm/runningMean', true],
      ['batchNorm/runningVariance', true],
    ]);
    const program = compileProgram({
      rows: shape[0],
      fields,
      tensors: entries,
      outputs: { ...traced.outputs },
      gradients: false,
    });
    const executor = referenceExecutor(program, entries);
    executor.field('x')?.set(numbers(size(shape), 0));
    entries.forEach(
      ({ name }, s) => void executor.parameter(name).set(numbers(channels, s + 1).map((v) => (s === 3 ? v + 1.5 : v))),
    );
    executor.run();
    expectClose(executor.output('output').data, c.evaluated);
  });
});

test('the summary counts running statistics apart from parameters', () => {
  const { layers } = trace(sequential(batchNorm(), dense(2)), [f32('x', 3)], 1);
  const summary = summarize({ layers, rows: 1 });
  expect(summary).toMatchObject({ parameters: 6 + 8, buffers: 6 });
  expect(renderSummary(summary)).toContain('running statistics, not trained: 6 (24 B)');
});

test('a layer that is called twice has one pair of running statistics, which follows both calls', () => {
  const bn = batchNorm({ momentum: 0.2 });
  const { buffers, statistics } = trace(({ x, z }) => ops.add(bn(x), bn(z)), [f32('x', 3), f32('z', 3)], 4);
  expect(buffers.map(({ name, init }) => [name, init])).toEqual([
    ['batchNorm/runningMean', { kind: 'constant', value: 0 }],
    ['batchNorm/runningVariance', { kind: 'constant', value: 1 }],
  ]);
  expect(statistics.map(({ mean, momentum }) => [mean, momentum])).toEqual([
    ['batchNorm/runningMean', 0.2],
    ['batchNorm/runningMean', 0.2],
  ]);
});

test.each<[string, () => unknown, string, RegExp]>([
  ['momentum', () => batchNorm({ momentum: 2 }), 'E_OPTION', /batchNorm: momentum.*from 0 to 1.*got 2/],
  ['epsilon', () => batchNorm({ epsilon: 0 }), 'E_OPTION', /batchNorm: epsilon.*above 0/],
  ['an unknown option', () => batchNorm({ momentun: 0.1 } as never), 'E_OPTION', /did you mean 'momentum'/],
  ['the axis of the rows', () => batchNorm({ axis: 0 }), 'E_OPTION', /axis other than 0/],
  ['the rows from behind', () => trace(sequential(batchNorm({ axis: -2 })), [f32('x', 3)]), 'E_SHAPE', /layer batchNorm.*other than the rows/],
  ['an axis that is not there', () => trace(sequential(batchNorm({ axis: 2 })), [f32('x', 3)]), 'E_SHAPE', /layer batchNorm.*axis/],
  ['rows of one number', () => trace(sequential(batchNorm({ name: 'bn' })), [f32('x')]), 'E_SHAPE', /layer bn: .*\[rows, ..., channels\].*reshape/],
])('%s: refused with place and remedy', (_name, make, code, message) => {
  expect(make).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
}); // biome-ignore format: a table
