import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { FieldInfo } from '../../src/data/contract.ts';
import { compileProgram } from '../../src/graph/compile.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import { gru, lstm, type Model, type RnnOptions, rnn } from '../../src/nn/index.ts';
import { traceModel } from '../../src/nn/trace.ts';
import { gradCheck } from '../../src/testing.ts';
import { wasmExecutors } from '../graph/models.ts';
import { expectGolden, type GoldenValues, given, wave } from './golden.ts';
import { evaluate, f32, i32, trace } from './harness.ts';

interface Golden {
  readonly sizes: [rows: number, time: number, features: number, hidden: number];
  readonly cases: readonly ({
    readonly cell: 'rnn' | 'lstm' | 'gru';
    readonly layers: number;
    readonly bidirectional: boolean;
    readonly lengths: readonly number[] | null;
    readonly return: 'last' | 'sequence';
    readonly bias: boolean;
    readonly activation?: 'relu';
  } & GoldenValues)[];
}

/** By scripts/golden/recurrent.py, which says what the numbers are. */
const golden: Golden = JSON.parse(
  readFileSync(new URL('../golden/recurrent-pytorch-1.13.json', import.meta.url), 'utf8'),
);
const LAYERS = { rnn: (n: number, o: RnnOptions) => rnn(n, o), lstm, gru };

describe('as PyTorch', () => {
  const [rows, time, features, hidden] = golden.sizes;
  const titled = golden.cases.map((c) => {
    const { cell, activation, layers, bidirectional, lengths, return: result } = c;
    const title = [cell, activation, `${layers} layers`, bidirectional && 'bidirectional', lengths && 'padded', result];
    return [title.filter(Boolean).join(', '), c] as const;
  });
  test.each(titled)('%s', (_, c) => {
    const { cell, lengths, output, gradients, ...options } = c;
    const { activation } = options;
    const layer = LAYERS[cell](hidden, {
      layers: options.layers,
      bidirectional: options.bidirectional,
      return: options.return,
      bias: options.bias,
      ...(activation ? { activation } : {}),
    });
    const x = given('given', [rows, time, features]);
    expectGolden(
      {
        rows,
        fields: [i32('n', time + 1)],
        data: { n: lengths ?? [] },
        model: ({ n }: Record<string, Tensor>) => layer(x(n), lengths ? { lengths: n } : {}),
        kind: cell,
        given: { x: ['given/x', (i) => Math.cos(0.9 * i)] },
      },
      { output, gradients },
    );
  });
});

const TIME = 4;
const FIELDS: readonly FieldInfo[] = [f32('x', TIME, 2), i32('n', TIME + 1), f32('mask', TIME)];

/** Finite differences through layers as users call them. */
function check(model: Model, rows = 3): void {
  const build = () => traceModel(model, FIELDS, rows, { training: false });
  const result = gradCheck(() => ({ value: ops.square(ops.sub(build().outputs.output, 0.1)) }), {
    parameters: Object.fromEntries(build().parameters.map(({ name, shape }) => [name, { shape }])),
    inputs: {
      x: { shape: [rows, TIME, 2] },
      n: { shape: [rows], dtype: 'i32', size: TIME + 1, values: [4, 1, 3] },
      mask: { shape: [rows, TIME], values: [1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1] },
    },
  });
  expect(result.error).toBeGreaterThanOrEqual(0);
}

describe.each(['rnn', 'lstm', 'gru'] as const)('%s', (cell) => {
  const make = LAYERS[cell];

  test('gradients of stacked and bidirectional layers with padding, against finite differences', () => {
    check(({ x, n }) => make(3, { layers: 2, bidirectional: true })(x, { lengths: n }));
    check(({ x, n }) => make(5, { layers: 2, return: 'sequence' })(x, { lengths: n }));
    // A mask may have holes; one layer on two inputs shares its weights.
    check(({ x, mask }) => {
      const shared = make(2, { bidirectional: true, return: 'sequence' });
      return ops.add(shared(x, { mask }), shared(ops.mul(x, 0.5)));
    });
  });

  test.each(['last', 'sequence'] as const)('a padded row gives the bits that it gives alone, %s', async (result) => {
    const lengths = [3, 1, 4];
    const [features, hidden] = [2, 5];
    const wasm = await wasmExecutors();
    const outputs = (time: number, rows: number, data: Record<string, ArrayLike<number>>): number[] => {
      const fields = [f32('x', time, features), i32('n', time + 1)];
      const layer = make(hidden, { layers: 2, bidirectional: true, return: result });
      const traced = trace(({ x, n }) => layer(x, data.n ? { lengths: n } : {}), fields, rows);
      const { entries } = layoutTensors(traced.parameters);
      const program = compileProgram({ rows, fields, tensors: entries, outputs: traced.outputs, gradients: false });
      const executor = wasm(program, entries);
      for (const { name, size } of entries) executor.parameter(name).set(wave(size, (i) => Math.sin(1.3 * i + size)));
      for (const [name, values] of Object.entries(data)) executor.field(name)?.set(values);
      executor.run();
      return Array.from(executor.output('output').data);
    };
    const x = (row: number, t: number): number[] => wave(features, (j) => Math.cos(row * 7 + t * 3 + j));
    const padded = lengths.flatMap((n, row) => wave(4, (t) => t).flatMap((t) => (t < n ? x(row, t) : [1e6, -1e6])));
    const together = outputs(4, 3, { x: padded, n: lengths });
    for (const [row, n] of lengths.entries()) {
      const alone = outputs(n, 1, { x: wave(n, (t) => t).flatMap((t) => x(row, t)) });
      const width = together.length / 3;
      const own = together.slice(row * width, (row + 1) * width);
      expect(own.slice(0, alone.length)).toEqual(alone);
      expect(own.slice(alone.length).every((y) => y === 0)).toBe(true);
    }
  });

  test('dropout acts between layers, in training only', () => {
    const fields = [f32('x', 3, 2)];
    const names = trace(({ x }) => make(4, { layers: 2 })(x), fields).parameters;
    const parameters = Object.fromEntries(
      names.map(({ name, shape }) => [name, wave(shape[0] * (shape[1] ?? 1), Math.sin)]),
    );
    const run = (rate: number, layers: number, training: boolean): number[] => {
      const known =
        layers === 2 ? parameters : Object.fromEntries(Object.entries(parameters).filter(([n]) => n.endsWith('l0')));
      const model: Model = ({ x }) => make(4, { layers, dropout: rate })(x);
      return evaluate({
        fields,
        rows: 2,
        data: { x: wave(12, Math.cos) },
        model,
        parameters: known,
        training,
      }).output();
    };
    expect(run(0.5, 2, true)).not.toEqual(run(0, 2, true));
    expect(run(0.5, 2, false)).toEqual(run(0, 2, false));
    expect(run(0.5, 1, true)).toEqual(run(0, 1, true));
  });
});

test('parameters are those of PyTorch, uniform in 1 / sqrt(hidden)', () => {
  const { parameters, outputs, layers } = trace(({ x }) => lstm(9, { layers: 2, bidirectional: true })(x), FIELDS);
  expect(parameters.map(({ name, shape }) => `${name} ${shape.join('x')}`)).toEqual(
    [['l0', 2], ['l0_reverse', 2], ['l1', 18], ['l1_reverse', 18]].flatMap(([at, features]) => [
      `lstm/weight_ih_${at} 36x${features}`, `lstm/weight_hh_${at} 36x9`, `lstm/bias_ih_${at} 36`, `lstm/bias_hh_${at} 36`,
    ]),
  ); // biome-ignore format: a table
  expect(new Set(parameters.map(({ init }) => JSON.stringify(init)))).toEqual(
    new Set([JSON.stringify({ kind: 'uniform', low: -1 / 3, high: 1 / 3 })]),
  );
  expect(outputs.output.shape).toEqual([2, 18]);
  expect(layers.map(({ name, kind, outputShape }) => ({ name, kind, outputShape }))).toEqual([
    { name: 'lstm', kind: 'lstm', outputShape: [2, 18] },
  ]);
});

test('what does not fit is refused with layer, expected, got', () => {
  const build = (model: Model) => () => trace(model, [...FIELDS, f32('flat', 5), f32('short', 3)]);
  expect(build(({ flat }) => lstm(4)(flat))).toThrow(
    /layer lstm: lstm: expected an input \[rows, time, features\], got \[2, 5\]/,
  );
  expect(build(({ x, short }) => gru(4)(x, { mask: short }))).toThrow(
    /layer gru: gru: expected a mask \[2, 4\].*got \[2, 3\]/,
  );
  expect(build(({ x, mask }) => gru(4)(x, { lengths: mask }))).toThrow(
    /expected lengths \[2\], one number a row, got \[2, 4\]/,
  );
  expect(build(({ x, n, mask }) => rnn(4)(x, { lengths: n, mask }))).toThrow(/lengths or a mask, got both/);
  expect(() => lstm(0)).toThrow(/lstm: hidden: expected an integer of at least 1, got 0/);
  expect(() => lstm(4, { layers: 1.5 })).toThrow(/lstm: layers/);
  expect(() => gru(4, { dropout: 1 })).toThrow(/gru: dropout: expected a share from 0 to below 1, got 1/);
  expect(() => Reflect.apply(lstm, undefined, [4, { returns: 'last' }])).toThrow(/did you mean 'return'/);
  expect(() => Reflect.apply(rnn, undefined, [4, { activation: 'gelu' }])).toThrow(/one of tanh, relu/);
  const x = ops.input('x', [2, 3, 4]);
  const weights = { weightIh: ops.parameter('a', [8, 5]), weightHh: ops.parameter('b', [8, 2]) };
  expect(() => ops.lstm(x, weights)).toThrow(/lstm: expected weightIh \[8, 4\], got \[8, 5\]/);
});
