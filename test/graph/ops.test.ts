import { describe, expect, test } from 'vitest';
import { gradients, topologicalOrder } from '../../src/graph/autodiff.ts';
import { compileProgram } from '../../src/graph/compile.ts';
import type { Executor } from '../../src/graph/execute.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import * as ops from '../../src/graph/ops/index.ts';
import { OPS } from '../../src/graph/ops/table.ts';
import type { Program, TensorEntry } from '../../src/graph/program.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import { type GradCheckOptions, gradCheck, referenceExecutor } from '../../src/testing.ts';
import { wasmExecutors } from './models.ts';
import type { Nd } from './naive.ts';
import { randomStream } from './naive.ts';
import { DROPOUT_KEY, OP_ROWS, type OpCase } from './op-cases.ts';

const SEEDS = [1, 2, 3, 4];
const LEAVES = ['input', 'parameter', 'constant'];

function fieldsOf(c: OpCase): { name: string; dtype: 'f32' | 'i32'; shape: number[] }[] {
  return Object.entries(c.inputs ?? {}).map(([name, n]) => ({
    name,
    dtype: n.dtype ?? 'f32',
    shape: n.shape.slice(1),
  }));
}

function rowsOf(c: OpCase): number {
  return Object.values(c.inputs ?? {})[0]?.shape[0] ?? 1;
}

/** Compiles the case, fills it with random numbers and returns both its numbers and its executor after a run. */
function run(
  c: OpCase,
  seed: number,
  execute: (program: Program, tensors: readonly TensorEntry[]) => Executor = referenceExecutor,
): { executor: Executor; values: Record<string, Nd> } {
  const random = randomStream(seed + 1000);
  const parameters = Object.entries(c.parameters ?? {});
  const inputs = Object.entries(c.inputs ?? {});
  const { entries } = layoutTensors(
    parameters.map(([name, { shape }]) => ({ name, shape, init: { kind: 'constant', value: 0 } })),
  );
  const program = compileProgram({
    rows: rowsOf(c),
    fields: fieldsOf(c),
    tensors: entries,
    outputs: { out: build(c) },
    gradients: false,
    training: true,
  });
  const executor = execute(program, entries);
  executor.setKey(DROPOUT_KEY);
  const values: Record<string, Nd> = {};
  for (const [name, numbers] of [...parameters, ...inputs]) {
    const { low = -1, high = 1 } = numbers;
    const data = Array.from({ length: numbers.shape.reduce((n, d) => n * d, 1) }, () =>
      'size' in numbers ? random.int(0, Number(numbers.size) - 1) : low + (high - low) * random.next(),
    );
    values[name] = { shape: numbers.shape, data };
    (c.parameters?.[name] === undefined ? executor.field(name) : executor.parameter(name))?.set(data);
  }
  executor.run();
  return { executor, values };
}

function build(c: OpCase): Tensor {
  const parameters = Object.entries(c.parameters ?? {}).map(([name, n]) => [name, ops.parameter(name, n.shape)]);
  const inputs = Object.entries(c.inputs ?? {}).map(([name, n]) => [name, ops.input(name, n.shape, n.dtype ?? 'f32')]);
  return c.build(Object.fromEntries(parameters), Object.fromEntries(inputs));
}

/** The same case with a weight for each element, so that the upstream gradient is not uniform. */
function weightedCheck(c: OpCase, seed: number): void {
  const { shape } = build(c);
  const options: GradCheckOptions = { parameters: { ...c.parameters }, inputs: { ...c.inputs }, seed };
  const weight = randomStream(seed + 2000);
  const weights = Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => weight.next() - 0.3);
  const result = gradCheck((p, i) => ({ value: c.build(p, i), weight: ops.constant(weights, shape) }), options);
  expect(result.error).toBeGreaterThanOrEqual(0);
}

describe.each(OP_ROWS.map((row) => ({ ...row, title: row.label ? `${row.op}, ${row.label}` : row.op })))(
  '$title',
  ({ make, steps, once }) => {
    test.each(SEEDS)('value against plain loops, shapes of seed %i', (seed) => {
      const c = make(randomStream(seed));
      const { executor, values } = run(c, seed);
      const expected = c.expected(values);
      const { shape, data } = executor.output('out');
      expect(shape).toEqual(expected.shape);
      expect(data.length).toBe(expected.data.length);
      for (const [i, value] of expected.data.entries()) {
        expect(Math.abs(data[i] - value)).toBeLessThanOrEqual(1e-11 * Math.max(1, Math.abs(value)));
      }
    });

    if (steps) return;

    test('gradient against finite differences', () => {
      for (const seed of SEEDS) weightedCheck(make(randomStream(seed)), seed);
    });

    if (once) return;

    test('gradient of the gradient against finite differences', () => {
      for (const seed of SEEDS.slice(0, 2)) {
        const c = make(randomStream(seed));
        gradCheck(
          (p, i) => {
            const first = gradients(ops.square(c.build(p, i)), undefined, Object.values(p));
            const parts = first.filter((g) => g !== undefined).map((g) => ops.sum(ops.square(g)));
            return { value: parts.reduce((sum, x) => ops.add(sum, x)) };
          },
          { parameters: { ...c.parameters }, inputs: { ...c.inputs }, seed, tolerance: 1e-5 },
        );
      }
    });
  },
);

test('the WASM kernels give the same values in single precision', async () => {
  const execute = await wasmExecutors();
  for (const row of OP_ROWS) {
    for (const seed of SEEDS) {
      const c = row.make(randomStream(seed));
      const { executor, values } = run(c, seed, execute);
      const expected = c.expected(values).data;
      const { data } = executor.output('out');
      const distance = expected.map((value, i) => Math.abs(data[i] - value) / Math.max(1, Math.abs(value)));
      expect({ op: row.op, label: row.label, seed, close: distance.every((d) => d < 1e-5) }).toMatchObject({
        close: true,
      });
    }
  }
});

test('every function of lockstep/ops has a row', () => {
  const tested = new Set<string>(OP_ROWS.map((row) => row.op));
  expect(Object.keys(ops).filter((name) => !tested.has(name))).toEqual([]);
});

test('every op of the table is used by a row, by its gradient or by that of its gradient', () => {
  const used = new Set<string>(LEAVES);
  for (const row of OP_ROWS) {
    for (const seed of SEEDS) {
      const value = build(row.make(randomStream(seed)));
      const nodes = topologicalOrder([value]);
      const sources = nodes.filter((x) => x.op === 'parameter');
      const gradientsOf = (x: Tensor): Tensor[] =>
        gradients(ops.square(x), undefined, sources).filter((g) => g !== undefined);
      const found = row.steps ? [] : gradientsOf(value);
      const second = found.flatMap(gradientsOf);
      for (const node of topologicalOrder([value, ...found, ...second])) used.add(node.op);
    }
  }
  expect(OPS.map((op) => op.name).filter((name) => !used.has(name))).toEqual([]);
});

test('stopGradient lets nothing through', () => {
  const a = ops.parameter('a', [3]);
  expect(gradients(ops.stopGradient(a), undefined, [a])).toEqual([undefined]);
  const result = gradCheck(({ a }) => ({ value: ops.mul(ops.stopGradient(ops.constant([1, 2, 3])), a) }), {
    parameters: { a: { shape: [3] } },
  });
  expect(result.error).toBeLessThan(1e-8);
});

test('ties of max, min, maximum and minimum share the gradient equally', () => {
  const a = ops.parameter('a', [4]);
  const b = ops.parameter('b', [4]);
  const { entries } = layoutTensors(
    [a, b].map((x) => ({ name: String(x.attrs.name), shape: x.shape, init: { kind: 'constant', value: 0 } })),
  );
  const gradientOf = (value: Tensor): { a: number[]; b: number[] } => {
    const program = compileProgram({
      rows: 1,
      fields: [],
      tensors: entries,
      outputs: {},
      loss: { value },
      gradients: true,
    });
    const executor = referenceExecutor(program, entries);
    executor.parameter('a').set([1, 5, 5, 0]);
    executor.parameter('b').set([1, 4, 6, 0]);
    executor.run();
    return { a: [...executor.gradient('a')], b: [...executor.gradient('b')] };
  };
  expect(gradientOf(ops.max(a)).a).toEqual([0, 0.5, 0.5, 0]);
  expect(gradientOf(ops.min(ops.minimum(a, 1))).a).toEqual([0, 0, 0, 1]);
  expect(gradientOf(ops.maximum(a, b))).toEqual({ a: [0.5, 1, 0, 0.5], b: [0.5, 0, 1, 0.5] });
  expect(gradientOf(ops.minimum(a, b))).toEqual({ a: [0.5, 0, 1, 0.5], b: [0.5, 1, 0, 0.5] });
});
