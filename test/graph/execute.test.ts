import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../src/graph/compile.ts';
import { createExecutor, type Executor, executorBytes } from '../../src/graph/execute.ts';
import * as ops from '../../src/graph/ops/index.ts';
import { referenceExecutor, referenceMemory } from '../../src/testing.ts';
import { fillMlp, MLP_TABLE, mlp, tableOf, wasmExecutor } from './models.ts';

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(actual[i] - expected[i])).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(expected[i])));
  }
}

function expectSameRun(actual: Executor, expected: Executor, tolerance: number): void {
  for (const executor of [actual, expected]) {
    fillMlp(executor);
    executor.setKey([3, 1, 4, 1]);
    executor.run();
  }
  for (const name of expected.program.sums) expectClose([actual.sum(name)], [expected.sum(name)], tolerance);
  expectClose(actual.output('logits').data, expected.output('logits').data, tolerance);
  for (const { name } of MLP_TABLE) expectClose(actual.gradient(name), expected.gradient(name), tolerance);
}

describe('a network with dropout, weighted loss and a metric', () => {
  const program = mlp(37, { rate: 0.25 });

  test('on the WASM kernels agrees with the reference in double precision', async () => {
    expectSameRun(await wasmExecutor(program, MLP_TABLE), referenceExecutor(program, MLP_TABLE), 2e-5);
  });

  test('on the reference in single precision too', () => {
    expectSameRun(referenceExecutor(program, MLP_TABLE, 'f32'), referenceExecutor(program, MLP_TABLE), 2e-5);
  });

  test('the WASM kernels give the same bytes on every run', async () => {
    const executor = await wasmExecutor(program, MLP_TABLE);
    fillMlp(executor);
    executor.run();
    const first = MLP_TABLE.map(({ name }) => executor.gradient(name).slice());
    executor.run();
    expect(MLP_TABLE.map(({ name }) => executor.gradient(name).slice())).toEqual(first);
  });

  test('the key decides the masks', () => {
    const executor = referenceExecutor(program, MLP_TABLE);
    fillMlp(executor);
    const lossFor = (key: number[]): number => {
      executor.setKey(key);
      executor.run();
      return executor.sum('loss');
    };
    const base = lossFor([1, 2, 3, 4]);
    for (const key of [
      [9, 2, 3, 4],
      [1, 9, 3, 4],
      [1, 2, 9, 4],
      [1, 2, 3, 9],
    ]) {
      expect(lossFor(key)).not.toBe(base);
    }
    expect(lossFor([1, 2, 3, 4])).toBe(base);
  });
});

test('gradient descent on the executor learns XOR', async () => {
  const shapes = { w1: [2, 8], b1: [8], w2: [8, 2], b2: [2] };
  const tensors = tableOf(shapes);
  const p = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, ops.parameter(name, shape)]));
  const labels = ops.input('y', [4], 'i32');
  const logits = ops.linear(ops.linear(ops.input('x', [4, 2]), p.w1, p.b1, 'tanh'), p.w2, p.b2);
  const program = compileProgram({
    rows: 4,
    fields: [
      { name: 'x', dtype: 'f32', shape: [2] },
      { name: 'y', dtype: 'i32', shape: [] },
    ],
    tensors,
    outputs: {},
    loss: { value: ops.softmaxCrossEntropy(logits, labels) },
    sums: [{ name: 'correct', value: ops.equal(ops.argmax(logits), labels) }],
    gradients: true,
  });
  for (const executor of [referenceExecutor(program, tensors), await wasmExecutor(program, tensors)]) {
    executor.field('x')?.set([0, 0, 0, 1, 1, 0, 1, 1]);
    executor.field('y')?.set([0, 1, 1, 0]);
    for (const { name, size } of tensors) {
      executor.parameter(name).set(Array.from({ length: size }, (_, i) => Math.sin(3 * i + size)));
    }
    for (let step = 0; step < 300; step++) {
      executor.run();
      for (const { name } of tensors) {
        const [values, gradient] = [executor.parameter(name), executor.gradient(name)];
        for (let i = 0; i < values.length; i++) values[i] -= 0.25 * gradient[i];
      }
    }
    expect(executor.sum('correct')).toBe(4);
    expect(executor.sum('loss') / executor.sum('weight')).toBeLessThan(0.05);
  }
});

test('executors of two programs share parameters', () => {
  const tensors = tableOf({ w: [3] });
  const [exp, sin] = [ops.exp, ops.sin].map((f) =>
    compileProgram({ rows: 1, fields: [], tensors, outputs: { out: f(ops.parameter('w', [3])) }, gradients: false }),
  );
  const memory = referenceMemory(executorBytes(exp, tensors) + executorBytes(sin, tensors));
  const first = createExecutor(exp, tensors, memory);
  const base = memory.base + executorBytes(exp, tensors);
  const second = createExecutor(sin, tensors, { ...memory, base, parameters: first.parameters });
  first.parameter('w').set([1, 2, 3]);
  for (const executor of [first, second]) executor.run();
  expect([...first.output('out').data]).toEqual([1, 2, 3].map(Math.exp));
  expect([...second.output('out').data]).toEqual([1, 2, 3].map(Math.sin));
});

test('names that do not exist are refused', () => {
  const executor = referenceExecutor(mlp(2), MLP_TABLE);
  expect(() => executor.parameter('nope')).toThrow(/no parameter nope/);
  expect(() => executor.output('nope')).toThrow(/no output nope/);
  expect(() => executor.sum('nope')).toThrow(/no sum nope/);
  expect(executor.field('unused')).toBeUndefined();
});
