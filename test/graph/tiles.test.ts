import { expect, test } from 'vitest';
import { compileProgram } from '../../src/graph/compile.ts';
import type { Executor } from '../../src/graph/execute.ts';
import { biasActivation } from '../../src/graph/ops/activation.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Program, TensorEntry } from '../../src/graph/program.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import { tileSchedule, tilesOf } from '../../src/graph/tiles.ts';
import { referenceExecutor } from '../../src/testing.ts';
import { tableOf, wasmExecutors } from './models.ts';
import { randomStream } from './naive.ts';

const TENSORS = tableOf({ w1: [3, 3, 2, 16], b1: [16], w2: [3, 3, 16, 6], b2: [6], w3: [294, 3] });
const SIZE = 14 * 14 * 2;

/** Two layers of convolution, bias, relu and pooling, and a product over all rows: tiles of 6 rows at most. */
function network(rows: number): Program {
  const x = ops.input('x', [rows, 14, 14, 2]);
  const p = Object.fromEntries(TENSORS.map(({ name, shape }) => [name, ops.parameter(name, shape)]));
  const same = { padding: 'same' } as const;
  const h1 = biasActivation(ops.conv2d(x, p.w1, same), p.b1, 'tanh', 0);
  const h2 = ops.maxPool2d(biasActivation(ops.conv2d(h1, p.w2, same), p.b2, 'relu', 0), 2);
  const y = ops.matmul(ops.reshape(h2, [rows, 294]), p.w3);
  return compileProgram({
    rows,
    fields: [{ name: 'x', dtype: 'f32', shape: [14, 14, 2] }],
    tensors: TENSORS,
    outputs: { y, h1 },
    loss: { value: ops.square(y) },
    gradients: true,
  });
}

type Execute = (program: Program, tensors: readonly TensorEntry[]) => Executor;

function run(rows: number, data: readonly number[], execute: Execute) {
  const executor = execute(network(rows), TENSORS);
  const random = randomStream(5);
  for (const { name, size } of TENSORS) {
    executor.parameter(name).set(Array.from({ length: size }, () => random.next() - 0.5));
  }
  executor.field('x')?.set(data);
  executor.run();
  const gradients = TENSORS.map(({ name }) => Array.from(executor.gradient(name)));
  return { y: [...executor.output('y').data], h1: [...executor.output('h1').data], gradients };
}

const random = randomStream(1);
const DATA = Array.from({ length: 13 * SIZE }, () => 2 * random.next() - 1);

test('rows in tiles give what rows alone give, and the sum of their gradients', () => {
  const calls = network(13).calls.filter(({ kernel }) => kernel === 'maxPoolGrad' || kernel === 'maxPool');
  expect(calls.map(({ args }) => args.find((arg) => typeof arg === 'number'))).toEqual([5, 5, 3, 5, 5, 3]);
  const all = run(13, DATA, referenceExecutor);
  const sums = all.gradients.map((g) => g.map(() => 0));
  for (let row = 0; row < 13; row++) {
    const one = run(1, DATA.slice(row * SIZE, (row + 1) * SIZE), referenceExecutor);
    expect(one.y).toEqual(all.y.slice(3 * row, 3 * row + 3));
    expect(one.h1).toEqual(all.h1.slice(row * 14 * 14 * 16, (row + 1) * 14 * 14 * 16));
    for (const [t, g] of one.gradients.entries()) for (const [i, v] of g.entries()) sums[t][i] += v;
  }
  const worst = sums.map((g, t) =>
    Math.max(...g.map((v, i) => Math.abs(v - all.gradients[t][i]) / Math.max(1, Math.abs(v)))),
  );
  expect(Math.max(...worst)).toBeLessThan(1e-12);
});

test('the WASM kernels in single precision do the same', async () => {
  const [exact, fast] = [run(13, DATA, referenceExecutor), run(13, DATA, await wasmExecutors())];
  for (const [t, g] of exact.gradients.entries()) {
    const scale = Math.max(...g.map(Math.abs));
    expect(Math.max(...g.map((v, i) => Math.abs(v - fast.gradients[t][i]))) / scale).toBeLessThan(1e-5);
  }
});

/** Names of a schedule, tiled runs in brackets. */
function names(nodes: readonly Tensor[], rows: number): string {
  const items = tileSchedule(
    nodes.map((node) => ({ kind: 'op', node }) as const),
    rows,
  );
  return items
    .map((item) => {
      if (item.kind === 'tiled') return `[${item.nodes.map((node) => node.op).join(' ')}] by ${item.tile}`;
      return item.kind === 'op' ? item.node.op : item.kind;
    })
    .join(', '); // biome-ignore format: short
}

test('what reads a sum over rows stays behind the tiled run; what only stands between comes after it', () => {
  const x = ops.input('x', [64, 28, 28, 32]);
  const z = ops.conv2d(x, ops.parameter('w', [3, 3, 32, 64]));
  const r = ops.relu(z);
  const total = ops.sum(r, { axis: 0 });
  const pooled = ops.avgPool2d(r, 2);
  const shifted = ops.sub(pooled, ops.sum(pooled, { axis: 0 }));
  const last = ops.relu(shifted);
  const nodes = [z, r, total, pooled, shifted.inputs[1], shifted, last];
  expect(names(nodes, 64)).toBe('[conv2d relu avgPool] by 1, reduceSum, reduceSum, sub, relu');
  expect(names([ops.relu(x), ops.relu(r)], 64)).toBe('relu, relu'); // nobody gains
  expect(names(nodes, 32)).toBe('conv2d, relu, reduceSum, avgPool, reduceSum, sub, relu'); // axis 0 is not the rows
});

test('tiles cover the rows, the first is the largest', () => {
  for (const [rows, tile] of [[10, 3], [7, 7], [1, 1], [8, 4]]) {
    const tiles = tilesOf(rows, tile);
    expect(tiles.reduce((sum, { count }) => sum + count, 0)).toBe(rows);
    expect(tiles.every(({ start, count }, i) => start === i * tile && count <= tiles[0].count)).toBe(true);
  } // biome-ignore format: a table
});
