import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { compileProgram, programHash } from '../../src/graph/compile.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Program } from '../../src/graph/program.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import { referenceExecutor } from '../../src/testing.ts';
import { fillMlp, MLP_TABLE, mlp, tableOf } from './models.ts';

const kernelsOf = (program: Program): string[] => program.calls.map((call) => call.kernel);

/** Compiles sum(value) without fields. */
function ofValue(value: Tensor, shapes: Record<string, number[]>, gradients = true): Program {
  return compileProgram({ rows: 1, fields: [], tensors: tableOf(shapes), outputs: {}, loss: { value }, gradients });
}

describe('the calls of a dense network', () => {
  const x = ops.input('x', [8, 6]);
  const labels = ops.input('labels', [8], 'i32');
  const shapes = { w1: [6, 5], b1: [5], w2: [5, 3], b2: [3] };
  const hidden = ops.linear(x, ops.parameter('w1', [6, 5]), ops.parameter('b1', [5]), 'relu');
  const logits = ops.linear(hidden, ops.parameter('w2', [5, 3]), ops.parameter('b2', [3]));
  const tensors = tableOf(shapes);
  const program = compileProgram({
    rows: 8,
    fields: [
      { name: 'x', dtype: 'f32', shape: [6] },
      { name: 'labels', dtype: 'i32', shape: [] },
    ],
    tensors,
    outputs: {},
    loss: { value: ops.softmaxCrossEntropy(logits, labels) },
    gradients: true,
  });

  test('are two forward and at most four backward for each layer, and nothing else but the loss', () => {
    expect(kernelsOf(program)).toEqual([
      'gemm', 'biasActivation', 'gemm', 'biasActivation',
      'softmaxCrossEntropy', 'sumF64', 'sumF64', 'softmaxCrossEntropyGrad',
      'reduceSum', 'gemm', 'gemm', 'reluGrad',
      'reduceSum', 'gemm',
    ]); // biome-ignore format: layer by layer
  });

  test('write each gradient where it belongs, without a copy', () => {
    const written = program.calls.flatMap(({ kernel, args }) => {
      const out = kernel === 'gemm' ? args[10] : args[0];
      return typeof out !== 'number' && out.region === 'gradients' ? [out.offset] : [];
    });
    expect(written.sort((a, b) => a - b)).toEqual(tensors.map((entry) => 4 * entry.offset));
  });

  test('work in place: biases on their products, gradients on what they read last', () => {
    for (const { kernel, args } of program.calls) {
      if (kernel === 'biasActivation' || kernel === 'reluGrad' || kernel === 'softmaxCrossEntropyGrad') {
        expect(args[0]).toEqual(args[1]);
      }
    }
  });

  test('count the work of the GEMMs: forward, dW of both, dX of the second', () => {
    expect(program.flops).toBe(2 * 8 * (6 * 5 + 5 * 3 + 6 * 5 + 5 * 3 + 5 * 3));
  });
});

test('the same model gives the same data whatever was built before', () => {
  const first = mlp(6, { rate: 0.3 });
  for (let i = 0; i < 5; i++) ops.dropout(ops.square(ops.constant([1, 2, i])), 0.5);
  const second = mlp(6, { rate: 0.3 });
  expect(second).toEqual(first);
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
  expect(programHash(second, sha256)).toBe(programHash(first, sha256));
  expect(programHash(mlp(7, { rate: 0.3 }), sha256)).not.toBe(programHash(first, sha256));
  expect(programHash({ ...first, constants: Uint8Array.of(1) }, sha256)).not.toBe(programHash(first, sha256));
});

test('a program is plain data', () => {
  const program = mlp(4, { rate: 0.5 });
  expect(structuredClone(program)).toEqual(program);
});

test('only fields that are read take space in the batch', () => {
  expect(mlp(4).fields.map((f) => f.name)).toEqual(['x', 'labels', 'weight']);
  const { fields } = mlp(4);
  for (const field of fields) expect(field.offset % 64).toBe(0);
});

test('equal expressions are computed once, dropouts of one tensor stay two', () => {
  const a = ops.parameter('a', [4]);
  const square = (): Tensor => ops.tanh(ops.parameter('a', [4]));
  expect(kernelsOf(ofValue(ops.mul(square(), square()), { a: [4] }, false))).toEqual([
    'tanh',
    'mul',
    'sumF64',
    'sumF64',
  ]);
  const dropped = compileProgram({
    rows: 1,
    fields: [],
    tensors: tableOf({ a: [4] }),
    outputs: { out: ops.add(ops.dropout(a, 0.5), ops.dropout(a, 0.5)) },
    gradients: false,
    training: true,
  });
  expect(kernelsOf(dropped)).toEqual(['dropout', 'dropout', 'add']);
});

test('the backward pass draws the mask of the forward pass', () => {
  const program = mlp(6, { rate: 0.4 });
  const salts = program.calls.filter((call) => call.kernel === 'dropout').map((call) => [call.args[3], call.args[5]]);
  expect(salts).toEqual([
    [0.4, 0],
    [0.4, 0],
  ]);
});

test('without gradients dropout does nothing, unless training is said', () => {
  expect(kernelsOf(mlp(4, { rate: 0.5, gradients: false }))).not.toContain('dropout');
  expect(kernelsOf(mlp(4, { rate: 0.5, gradients: false, training: true }))).toContain('dropout');
});

test('what nothing needs is not computed', () => {
  const a = ops.parameter('a', [4]);
  ops.exp(a);
  const program = ofValue(ops.mul(ops.stopGradient(ops.exp(a)), a), { a: [4] });
  expect(kernelsOf(program).filter((k) => k === 'exp')).toHaveLength(1);
  const linear = kernelsOf(ofValue(ops.mul(a, ops.constant([1, 2, 3, 4])), { a: [4] }));
  expect(linear).toEqual(['copy', 'mul', 'sumF64', 'sumF64']);
});

test('a parameter that the loss does not reach gets a zero gradient on every run', () => {
  const program = mlp(4, {
    tensors: [...MLP_TABLE, { ...MLP_TABLE[0], name: 'idle', offset: 4096, size: 5, shape: [5] }],
  });
  const tensors = [...MLP_TABLE, { ...MLP_TABLE[0], name: 'idle', offset: 4096, size: 5, shape: [5] }];
  const executor = referenceExecutor(program, tensors);
  executor.gradient('idle').fill(9);
  executor.run();
  expect([...executor.gradient('idle')]).toEqual([0, 0, 0, 0, 0]);
});

test('every run overwrites every gradient', () => {
  const executor = referenceExecutor(mlp(5), MLP_TABLE);
  fillMlp(executor);
  executor.run();
  const first = MLP_TABLE.map(({ name }) => [...executor.gradient(name)]);
  for (const { name } of MLP_TABLE) executor.gradient(name).fill(Number.NaN);
  executor.run();
  expect(MLP_TABLE.map(({ name }) => [...executor.gradient(name)])).toEqual(first);
});

test('shared parameters accumulate, under one tensor or two of one name', () => {
  const [x, y] = [
    [1, 2, 3],
    [-1, 4, 0.5],
  ];
  const program = ofValue(
    ops.add(
      ops.mul(ops.parameter('a', [3]), ops.constant(x)),
      ops.mul(ops.square(ops.parameter('a', [3])), ops.constant(y)),
    ),
    { a: [3] },
  );
  const executor = referenceExecutor(program, tableOf({ a: [3] }));
  executor.parameter('a').set([2, 3, 4]);
  executor.run();
  expect([...executor.gradient('a')]).toEqual([1 - 4, 2 + 24, 3 + 4]);
});

test('one gradient for two parameters is computed once and copied', () => {
  const shapes = { a: [3], b: [3] };
  const program = ofValue(ops.tanh(ops.add(ops.parameter('a', [3]), ops.parameter('b', [3]))), shapes);
  expect(kernelsOf(program).filter((k) => k === 'copy')).toHaveLength(1);
  const executor = referenceExecutor(program, tableOf(shapes));
  executor.parameter('a').set([0.1, 0.2, 0.3]);
  executor.parameter('b').set([1, 0, -1]);
  executor.run();
  const expected = [1.1, 0.2, -0.7].map((v) => 1 - Math.tanh(v) ** 2);
  for (const name of ['a', 'b']) {
    for (const [i, g] of executor.gradient(name).entries()) expect(g).toBeCloseTo(expected[i], 12);
  }
});

test('a tensor that is still needed is not overwritten in place', () => {
  const a = ops.parameter('a', [3]);
  const y = ops.exp(a);
  const outputs = { kept: y, doubled: ops.mul(ops.neg(y), y), shaped: ops.neg(ops.reshape(y, [3, 1])) };
  const tensors = tableOf({ a: [3] });
  const program = compileProgram({ rows: 1, fields: [], tensors, outputs, gradients: false });
  const executor = referenceExecutor(program, tensors);
  executor.parameter('a').set([0, 1, 2]);
  executor.run();
  const e = [0, 1, 2].map(Math.exp);
  expect([...executor.output('kept').data]).toEqual(e);
  expect([...executor.output('doubled').data]).toEqual(e.map((v) => -v * v));
  expect([...executor.output('shaped').data]).toEqual(e.map((v) => -v));
  expect(executor.output('shaped').shape).toEqual([3, 1]);
});

test('outputs may be leaves, aliases and integers', () => {
  const a = ops.parameter('a', [2, 3]);
  const tensors = tableOf({ a: [2, 3] });
  const outputs = { a, flat: ops.reshape(a, [-1]), best: ops.argmax(a), c: ops.constant([1, 2]) };
  const executor = referenceExecutor(
    compileProgram({ rows: 1, fields: [], tensors, outputs, gradients: false }),
    tensors,
  );
  executor.parameter('a').set([1, 5, 2, 9, 1, 1]);
  executor.run();
  expect([...executor.output('flat').data]).toEqual([1, 5, 2, 9, 1, 1]);
  expect([...executor.output('best').data]).toEqual([1, 0]);
  expect(executor.output('best').data).toBeInstanceOf(Int32Array);
  expect([...executor.output('c').data]).toEqual([1, 2]);
});

test("the sum 'weight' counts elements where the loss has no weights", () => {
  const value = ops.maximum(ops.parameter('a', [3]), ops.constant(0, [700, 3]));
  const executor = referenceExecutor(ofValue(value, { a: [3] }), tableOf({ a: [3] }));
  executor.run();
  expect(executor.sum('weight')).toBe(2100);
});

test('two ragged shards add up to the whole batch, weights and all', () => {
  const whole = referenceExecutor(mlp(11), MLP_TABLE);
  const parts = [4, 7].map((rows) => referenceExecutor(mlp(rows), MLP_TABLE));
  fillMlp(whole);
  fillMlp(parts[0], 0);
  fillMlp(parts[1], 4);
  for (const executor of [whole, ...parts]) executor.run();
  for (const name of ['loss', 'weight', 'correct']) {
    expect(parts[0].sum(name) + parts[1].sum(name)).toBeCloseTo(whole.sum(name), 12);
  }
  for (const { name } of MLP_TABLE) {
    const [g, g0, g1] = [whole, ...parts].map((executor) => executor.gradient(name));
    for (const [i, value] of g.entries()) expect(Math.abs(g0[i] + g1[i] - value)).toBeLessThan(1e-12);
  }
});

describe('what cannot be compiled is refused', () => {
  const fields = [{ name: 'price', dtype: 'f32' as const, shape: [2] }];
  const compile = (value: Tensor): Program =>
    compileProgram({ rows: 4, fields, tensors: [], outputs: { value }, gradients: false });

  test('an input that is no field, with the closest name', () => {
    expect(() => compile(ops.input('prise', [4, 2]))).toThrow(
      expect.objectContaining({ code: 'E_DATA_MISSING', message: expect.stringContaining('did you mean price?') }),
    );
  });
  test('an input of another shape or type', () => {
    expect(() => compile(ops.input('price', [5, 2]))).toThrow(expect.objectContaining({ code: 'E_SHAPE' }));
    expect(() => compile(ops.input('price', [4, 2], 'i32'))).toThrow(expect.objectContaining({ code: 'E_DTYPE' }));
  });
  test('a parameter that is not in the tensor table, or of another shape', () => {
    expect(() => compile(ops.parameter('w', [2]))).toThrow(expect.objectContaining({ code: 'E_MODEL' }));
    expect(() => ofValue(ops.parameter('a', [2]), { a: [3] })).toThrow(expect.objectContaining({ code: 'E_SHAPE' }));
  });
  test('gradients without a loss', () => {
    expect(() => compileProgram({ rows: 1, fields: [], tensors: [], outputs: {}, gradients: true })).toThrow(
      expect.objectContaining({ code: 'E_LOSS' }),
    );
  });
});

test('gradients of means carry numbers, not tensors of ones', () => {
  const a = ops.parameter('a', [4, 3]);
  const error = ops.sub(a, ops.constant([1, 2, 3]));
  const program = ofValue(ops.mean(ops.square(error), { axis: 1 }), { a: [4, 3] });
  expect(kernelsOf(program)).toEqual(['sub', 'square', 'reduceMean', 'sumF64', 'sumF64', 'scale']);
});
