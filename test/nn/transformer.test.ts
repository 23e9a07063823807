import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../src/graph/compile.ts';
import type { Executor } from '../../src/graph/execute.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Program, TensorEntry } from '../../src/graph/program.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import {
  crossEntropy,
  dense,
  embedding,
  groupNorm,
  lambda,
  layerNorm,
  type Model,
  multiHeadAttention,
  positions,
  residual,
  rmsNorm,
  sequential,
  zeros,
} from '../../src/nn/index.ts';
import { applyLoss } from '../../src/nn/losses.ts';
import { traceModel } from '../../src/nn/trace.ts';
import { referenceExecutor } from '../../src/testing.ts';
import { wasmExecutors } from '../graph/models.ts';
import { expectGolden, type GoldenValues, given, wave } from './golden.ts';
import { evaluate, f32, i32, trace } from './harness.ts';

interface Golden {
  readonly attention: readonly (GoldenValues & { cross: boolean; causal: boolean; mask: number[][] | null })[];
  readonly norm: readonly (GoldenValues & { groups: number | null })[];
  readonly decoder: readonly (GoldenValues & { rotary: boolean; loss: number })[];
}

/** By scripts/golden/transformer.py, which says what the numbers are. */
const golden: Golden = JSON.parse(
  readFileSync(new URL('../golden/transformer-pytorch-1.13.json', import.meta.url), 'utf8'),
);
const [ROWS, POSITIONS, WIDTH, KEYS, CONTEXT, HEADS] = [2, 5, 6, 4, 3, 2];

/** Runs a model whose data are parameters, and compares result and all gradients. */
function checkGolden(build: (x: Tensor, context: () => Tensor) => Tensor, kind: string, values: GoldenValues): void {
  const [x, context] = [given('given', [ROWS, POSITIONS, WIDTH]), given('context', [ROWS, KEYS, CONTEXT])];
  expectGolden(
    {
      rows: ROWS,
      fields: [i32('n', 2)],
      data: {},
      model: ({ n }: Record<string, Tensor>) => build(x(n), () => context(n)),
      kind,
      given: { x: ['given/x', (i) => Math.cos(0.9 * i)], context: ['context/x', (i) => Math.sin(1.1 * i)] },
    },
    values,
  );
}

describe('as PyTorch', () => {
  const titled = golden.attention.map((c) => {
    const title = [c.cross ? 'cross' : 'self', c.causal && 'causal', c.mask && 'masked'];
    return [title.filter(Boolean).join(', '), c] as const;
  });
  test.each(titled)('attention, %s', (_, { cross, causal, mask, ...values }) => {
    const layer = multiHeadAttention({ heads: HEADS, causal });
    const seen = mask && ops.constant(mask);
    const inputs = (context: () => Tensor) => ({ ...(cross && { context: context() }), ...(seen && { mask: seen }) });
    checkGolden((x, context) => layer(x, inputs(context)), 'multiHeadAttention', values);
  });
  test.each(golden.norm.map((c) => [c.groups ?? 'layer', c] as const))('normalisation, groups: %s', (_, c) => {
    const epsilon = 1e-3;
    const layer = c.groups === null ? layerNorm({ epsilon }) : groupNorm(c.groups, { epsilon });
    checkGolden((x) => layer(x), layer.kind, c);
  });
});

test.each(golden.decoder)('a decoder as PyTorch: tied output, masked loss, rotary positions: $rotary', (expected) => {
  const { rotary } = expected;
  const [width, size] = [8, 11];
  const norm = (i: number) => (rotary ? rmsNorm : layerNorm)({ name: `norm${i}` });
  const model: Model = ({ x }: Record<string, Tensor>) => {
    const tokens = embedding(size, width, { name: 'tokens' });
    const blocks = sequential(
      residual(norm(1), multiHeadAttention({ heads: HEADS, causal: true, rotary, bias: false, name: 'attention' })),
      residual(norm(2), dense(4 * width, 'gelu', { name: 'up' }), dense(width, { name: 'down' })),
      norm(3),
    );
    return tokens.attend(blocks(rotary ? tokens(x) : positions(8)(tokens(x))));
  };
  const fields = [i32('x', size, POSITIONS), i32('y', size, POSITIONS), f32('keep', POSITIONS)];
  const traced = traceModel(model, fields, ROWS, { training: true });
  const { entries } = layoutTensors(traced.parameters);
  const loss = applyLoss(crossEntropy({ mask: 'keep' }), traced);
  const outputs = { ...traced.outputs };
  const program = compileProgram({ rows: ROWS, fields, tensors: entries, outputs, loss, gradients: true });
  const executor = referenceExecutor(program, entries);
  const count = ROWS * POSITIONS;
  executor.field('x')?.set(wave(count, (i) => (7 * i + 3) % size));
  executor.field('y')?.set(wave(count, (i) => (5 * i + 2) % size));
  executor.field('keep')?.set(wave(count, (i) => Number(i % 3 !== 0)));
  const names = Object.keys(expected.gradients);
  expect(entries.map(({ name }) => name).sort()).toEqual([...names].sort());
  for (const [p, name] of names.entries()) {
    const target = executor.parameter(name);
    target.set(wave(target.length, (i) => 0.6 * Math.sin(1.7 * i + p)));
  }
  executor.run();
  const weight = executor.sum('weight');
  expect(executor.sum('loss') / weight).toBeCloseTo(expected.loss, 11);
  const { data } = executor.output('output');
  for (const [i, value] of expected.output.entries()) expect(data[i]).toBeCloseTo(value, 10);
  for (const [name, [plain, weighted]] of Object.entries(expected.gradients)) {
    const gradient = Array.from(executor.gradient(name), (g) => g / weight);
    expect(
      gradient.reduce((sum, g) => sum + g, 0),
      name,
    ).toBeCloseTo(plain, 10);
    expect(
      gradient.reduce((sum, g, i) => sum + g * Math.sin(0.7 * i), 0),
      name,
    ).toBeCloseTo(weighted, 10);
  }
});

/** A decoder's first layers over ids, on kernels of choice. */
async function decoder(length: number, options: { rotary?: boolean }): Promise<Executor> {
  const model: Model = ({ x }: Record<string, Tensor>) => {
    const h = positions(length)(embedding(11, 8)(x));
    return sequential(residual(layerNorm(), multiHeadAttention({ heads: 2, causal: true, ...options })), dense(3))(h);
  };
  const execute = await wasmExecutors();
  return compiled(model, length, execute);
}

function compiled(
  model: Model,
  length: number,
  execute: (program: Program, tensors: readonly TensorEntry[]) => Executor,
): Executor {
  const fields = [i32('x', 11, length)];
  const traced = traceModel(model, fields, 2, { training: false });
  const { entries } = layoutTensors(traced.parameters);
  const program = compileProgram({
    rows: 2,
    fields,
    tensors: entries,
    outputs: { ...traced.outputs },
    gradients: false,
  });
  const executor = execute(program, entries);
  for (const [p, { name, size }] of entries.entries()) {
    executor.parameter(name).set(wave(size, (i) => Math.sin(1.3 * i + p)));
  }
  return executor;
}

// Longer than a block of queries: what is computed beyond the mask must not matter either.
test.each([{}, { rotary: true }])('a later token changes no bit of what comes before it, %o', async (options) => {
  const length = 150;
  const executor = await decoder(length, options);
  const ids = wave(2 * length, (i) => (7 * i) % 11);
  const run = (x: number[]): number[] => {
    executor.field('x')?.set(x);
    executor.run();
    return Array.from(executor.output('output').data);
  };
  const before = run(ids);
  for (const changed of [20, 63, 64, 100, 149]) {
    const after = run(ids.map((id, i) => (i === changed ? (id + 1) % 11 : id)));
    const differs = (t: number): boolean => [0, 1, 2].some((c) => before[3 * t + c] !== after[3 * t + c]);
    const first = wave(2 * length, (t) => t).filter(differs);
    expect(first[0]).toBe(changed);
    expect(first.every((t) => t < length)).toBe(true); // not in the next row
  }
});

test('the blocks of a long causal sequence give what the definition gives', async () => {
  const length = 150;
  const executor = await decoder(length, {});
  const ids = wave(2 * length, (i) => (5 * i) % 11);
  executor.field('x')?.set(ids);
  executor.run();
  const model: Model = ({ x }: Record<string, Tensor>) => {
    const h = positions(length)(embedding(11, 8)(x));
    const visible = ops.constant(wave(length * length, (i) => Number(i % length <= Math.floor(i / length))), [length, length]); // biome-ignore format: short
    // The same parameters by name, attention from plain ops.
    const attention = lambda(
      (z, { parameter }) => {
        const qkv = ops.linear(z, parameter('qkv/weight', [8, 24], zeros()), parameter('qkv/bias', [24], zeros()));
        const head = (part: number, i: number) => ops.slice(qkv, 2, 8 * part + 4 * i, 8 * part + 4 * i + 4);
        const heads = [0, 1].map((i) => {
          const scores = ops.mul(ops.matmul(head(0, i), ops.transpose(head(1, i), [0, 2, 1])), 0.5);
          return ops.matmul(ops.softmax(ops.where(visible, scores, -1e30)), head(2, i));
        });
        return ops.linear(ops.concat(heads), parameter('project/weight', [8, 8], zeros()), parameter('project/bias', [8], zeros())); // biome-ignore format: short
      },
      { name: 'multiHeadAttention' },
    );
    return sequential(residual(layerNorm(), attention), dense(3))(h);
  };
  const plain = compiled(model, length, referenceExecutor);
  plain.field('x')?.set(ids);
  plain.run();
  const expected = plain.output('output').data;
  const { data } = executor.output('output');
  expect(Math.max(...wave(data.length, (i) => Math.abs(data[i] - expected[i])))).toBeLessThan(2e-4);
});

test('with rotary positions the weights depend on distances alone', () => {
  // Two rows: the same vectors, in the second one position later behind a vector that the mask hides.
  const model: Model = ({ x, mask }: Record<string, Tensor>) =>
    multiHeadAttention({ heads: 1, rotary: true })(x, { mask });
  const vectors = wave(8, (i) => Math.cos(2 * i));
  const result = evaluate({
    fields: [f32('x', 3, 4), f32('mask', 3)],
    rows: 2,
    data: { x: [...vectors, 9, 9, 9, 9, 1, 2, 3, 4, ...vectors], mask: [1, 1, 0, 0, 1, 1] },
    model,
    parameters: {
      'multiHeadAttention/qkv/weight': wave(48, (i) => Math.sin(3 * i)),
      'multiHeadAttention/project/weight': wave(16, (i) => Math.sin(i)),
    },
  });
  const y = result.output();
  for (let i = 0; i < 8; i++) expect(y[i]).toBeCloseTo(y[16 + i], 6);
});

test('parameters are named by layer', () => {
  const model: Model = ({ x }: Record<string, Tensor>) =>
    sequential(
      positions(4),
      residual(layerNorm(), multiHeadAttention({ heads: 2, name: 'attention' })),
      residual(rmsNorm(), dense(4)),
    )(x);
  expect(trace(model, [f32('x', 3, 4)]).parameters.map(({ name, shape }) => [name, ...shape].join(' '))).toEqual([
    'positions/weight 4 4',
    'layerNorm/weight 4',
    'layerNorm/bias 4',
    'attention/qkv/weight 4 12',
    'attention/qkv/bias 12',
    'attention/project/weight 4 4',
    'attention/project/bias 4',
    'rmsNorm/weight 4',
    'dense/weight 4 4',
    'dense/bias 4',
  ]);
});

describe('what does not fit', () => {
  const sequence = f32('x', 3, 4);
  test.each<[string, () => Model, RegExp]>([
    ['a width that the heads do not divide', () => sequential(multiHeadAttention({ heads: 3 })), /layer multiHeadAttention.*3 heads divide, got 4 of \[2, 3, 4\]/],
    ['more positions than there are', () => sequential(positions(2)), /layer positions.*at most 2 positions, got 3 in \[2, 3, 4\]/],
    ['a residual of another width', () => sequential(residual(dense(5))), /\[2, 3, 4\] like its input, got \[2, 3, 5\]/],
    ['channels that the groups do not divide', () => sequential(groupNorm(3)), /layer groupNorm.*multiple of 3, got \[2, 3, 4\]/],
    ['vectors instead of sequences', () => sequential((x) => ops.reshape(x, [2, 12]), multiHeadAttention({ heads: 2 })), /\[rows, positions, width\], got \[2, 12\]/],
    ['a mask of another length', () => ({ x }: Record<string, Tensor>) => multiHeadAttention({ heads: 2 })(x, { mask: ops.constant(1, [2, 4]) }), /mask: expected \[2, 3\], got \[2, 4\]/],
    ['a context of other rows', () => ({ x }: Record<string, Tensor>) => multiHeadAttention({ heads: 2 })(x, { context: ops.constant(1, [3, 2, 4]) }), /context \[2, keys, width\], got \[3, 2, 4\]/],
    ['a causal mask between two sequences', () => ({ x }: Record<string, Tensor>) => multiHeadAttention({ heads: 2, causal: true })(x, { context: ops.constant(1, [2, 2, 4]) }), /3 keys for a causal mask, got 2/],
    ['heads of odd size with rotary positions', () => sequential(multiHeadAttention({ heads: 4, rotary: true })), /heads of even size/],
  ])('%s', (_, make, message) => {
    expect(() => trace(make(), [sequence])).toThrow(message);
  }); // biome-ignore format: a table
  test.each<[string, () => unknown, RegExp]>([
    ['heads', () => multiHeadAttention({ heads: 0 }), /heads: expected an integer of at least 1, got 0/],
    ['positions', () => positions(1.5), /positions: length/],
    ['groups', () => groupNorm(0), /groupNorm: groups/],
    ['epsilon', () => layerNorm({ epsilon: -1 }), /layerNorm: epsilon/],
    ['an option of another name', () => Reflect.apply(multiHeadAttention, undefined, [{ heads: 2, causl: true }]), /causal/],
  ])('%s', (_, make, message) => {
    expect(make).toThrow(message);
  }); // biome-ignore format: a table
});
