import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { accumulatingProgram } from '../../src/graph/accumulate.ts';
import { compileProgram } from '../../src/graph/compile.ts';
import type { Executor } from '../../src/graph/execute.ts';
import { biasActivation } from '../../src/graph/ops/activation.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Program, TensorEntry } from '../../src/graph/program.ts';
import type { Shape, Tensor } from '../../src/graph/tensor.ts';
import { sizeOf } from '../../src/graph/tensor.ts';
import { referenceExecutor } from '../../src/testing.ts';
import { tableOf, wasmExecutors } from './models.ts';

/** The numbers of scripts/golden/convolution.py. */
const numbers = (count: number, s: number): number[] =>
  Array.from({ length: count }, (_, i) => ((7919 * i + 104729 * (s + 1)) % 1024) / 512 - 1);

interface Golden {
  readonly op: 'conv2d' | 'conv1d' | 'convTranspose2d' | 'maxPool2d' | 'avgPool2d' | 'maxPool1d' | 'avgPool1d';
  readonly x: number[];
  readonly w?: number[];
  readonly size?: number[];
  readonly stride: number[];
  readonly padding: 'same' | 'valid' | number[];
  readonly dilation?: number[];
  readonly groups?: number;
  readonly shape: number[];
  readonly y: number[];
  readonly dx: number[];
  readonly dw?: number[];
}

const GOLDEN: Golden[] = JSON.parse(
  readFileSync(new URL('../golden/convolution-pytorch-1.13.json', import.meta.url), 'utf8'),
);

/** One-dimensional settings stand in lists of one. */
function apply(
  { op, stride, padding, dilation = [1, 1], groups = 1, size = [] }: Golden,
  x: Tensor,
  w: Tensor,
): Tensor {
  const line = { stride: stride[0], padding: typeof padding === 'string' ? padding : padding[0] };
  switch (op) {
    case 'conv2d':
      return ops.conv2d(x, w, { stride, padding, dilation, groups });
    case 'convTranspose2d':
      return ops.convTranspose2d(x, w, { stride, padding, dilation, groups });
    case 'conv1d':
      return ops.conv1d(x, w, { ...line, dilation: dilation[0], groups });
    case 'maxPool2d':
      return ops.maxPool2d(x, size, { stride, padding });
    case 'avgPool2d':
      return ops.avgPool2d(x, size, { stride, padding });
    case 'maxPool1d':
      return ops.maxPool1d(x, size[0], line);
    case 'avgPool1d':
      return ops.avgPool1d(x, size[0], line);
  }
}

type Shapes = Record<string, Shape>;
type Execute = (program: Program, tensors: readonly TensorEntry[]) => Executor;

/** Runs sum(f(parameters) * numbers) with its gradients; parameter number s holds numbers(s). */
function differentiate(shapes: Shapes, f: (p: Record<string, Tensor>) => Tensor, execute: Execute = referenceExecutor) {
  const tensors = tableOf(shapes);
  const p = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, ops.parameter(name, shape)]));
  const y = f(p);
  const program = compileProgram({
    rows: 1,
    fields: [],
    tensors,
    outputs: { y },
    loss: { value: y, weight: ops.constant(numbers(sizeOf(y.shape), 2), y.shape) },
    gradients: true,
  });
  const executor = execute(program, tensors);
  for (const [s, { name, size }] of tensors.entries()) executor.parameter(name).set(numbers(size, s));
  executor.run();
  return { program, tensors, executor, y: executor.output('y') };
}

function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number): void {
  expect(got.length).toBe(want.length);
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i] - want[i]) / Math.max(1, Math.abs(want[i]));
    worst = Math.max(worst, error); // NaN stays
  }
  expect(worst).toBeLessThanOrEqual(tolerance);
}

test.each(GOLDEN.map((golden, i) => ({ golden, title: `${i}: ${golden.op}` })))('PyTorch, $title', ({ golden }) => {
  const shapes: Shapes = { x: golden.x, ...(golden.w && { w: golden.w }) };
  const { executor, y } = differentiate(shapes, ({ x, w }) => apply(golden, x, w));
  expect(y.shape).toEqual(golden.shape);
  expectClose(y.data, golden.y, 1e-12);
  expectClose(executor.gradient('x'), golden.dx, 1e-12);
  if (golden.dw) expectClose(executor.gradient('w'), golden.dw, 1e-12);
});

/** Images that go through in several chunks: of whole images, and of rows of one image. */
const CHUNKED: { x: Shape; w: Shape; options: ops.Conv2dOptions; kernel: string }[] = [
  { x: [7, 14, 14, 16], w: [3, 3, 16, 4], options: { padding: 'same' }, kernel: 'im2col' },
  { x: [2, 50, 47, 8], w: [3, 3, 8, 3], options: { padding: 'same', stride: [1, 1] }, kernel: 'im2col' },
  { x: [2, 61, 60, 12], w: [5, 3, 6, 4], options: { padding: [1, 2], stride: [1, 2], groups: 2 }, kernel: 'im2col' },
  { x: [2, 80, 61, 9], w: [4, 4, 9, 2], options: { dilation: 2, stride: [2, 1] }, kernel: 'im2col' },
  { x: [2, 90, 80, 30], w: [3, 3, 1, 30], options: { padding: 'same', groups: 30 }, kernel: 'depthwise' },
];

describe.each(CHUNKED)('in chunks: $x by $w', ({ x: shape, w: weight, options, kernel }) => {
  test('WASM kernels in single precision, reference kernels in double, the definition', async () => {
    const f = ({ x, w }: Record<string, Tensor>): Tensor => ops.conv2d(x, w, options);
    const exact = differentiate({ x: shape, w: weight }, f);
    const fast = differentiate({ x: shape, w: weight }, f, await wasmExecutors());
    expect(exact.program.calls.filter((call) => call.kernel === kernel).length).toBeGreaterThanOrEqual(4);
    expectClose(fast.y.data, exact.y.data, 1e-5);
    for (const name of ['x', 'w']) expectClose(fast.executor.gradient(name), exact.executor.gradient(name), 2e-5);

    // <y, v> is linear in x and in w: both gradients give it back, whatever the chunks.
    const v = numbers(sizeOf(exact.y.shape), 2);
    const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
      let sum = 0;
      for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
      return sum;
    };
    const value = dot(exact.y.data, v);
    const { executor } = exact;
    expect(dot(executor.gradient('x'), executor.parameter('x'))).toBeCloseTo(value, 6);
    expect(dot(executor.gradient('w'), executor.parameter('w'))).toBeCloseTo(value, 6);

    // One output element of the last image by the definition.
    const [outHeight, outWidth, filters] = exact.y.shape.slice(1);
    const [n, i, j] = [shape[0] - 1, outHeight - 2, outWidth - 2];
    expect(exact.y.data[((n * outHeight + i) * outWidth + j) * filters + 1]).toBeCloseTo(
      element(shape, weight, options, [n, i, j, 1], executor),
      10,
    );
  });
});

function element(x: Shape, w: Shape, options: ops.Conv2dOptions, [n, i, j, f]: number[], executor: Executor): number {
  const pair = (value: unknown, otherwise: number): number[] =>
    Array.isArray(value) ? value : [Number(value ?? otherwise), Number(value ?? otherwise)];
  const [stride, dilation, groups] = [pair(options.stride, 1), pair(options.dilation, 1), options.groups ?? 1];
  const same = options.padding === 'same';
  const pads = same ? [Math.floor((w[0] - 1) / 2), Math.floor((w[1] - 1) / 2)] : pair(options.padding, 0);
  const image = executor.parameter('x');
  const weights = executor.parameter('w');
  const firstChannel = Math.floor(f / (w[3] / groups)) * w[2];
  let sum = 0;
  for (let u = 0; u < w[0]; u++) {
    for (let v = 0; v < w[1]; v++) {
      const [y, z] = [i * stride[0] + u * dilation[0] - pads[0], j * stride[1] + v * dilation[1] - pads[1]];
      if (y < 0 || y >= x[1] || z < 0 || z >= x[2]) continue;
      for (let c = 0; c < w[2]; c++) {
        const pixel = ((n * x[1] + y) * x[2] + z) * x[3] + firstChannel + c;
        sum += image[pixel] * weights[((u * w[1] + v) * w[2] + c) * w[3] + f];
      }
    }
  }
  return sum;
}

test('the gradient of the weights is added to what is there, with the bits of adding it afterwards', async () => {
  const shapes = { x: [7, 14, 14, 16], w: [3, 3, 16, 4] };
  const { program, tensors, executor } = differentiate(
    shapes,
    ({ x, w }) => ops.conv2d(x, w, { padding: 'same' }),
    await wasmExecutors(),
  );
  const alone = executor.gradient('w').slice();
  const adding = (await wasmExecutors())(accumulatingProgram(program, tensors), tensors);
  for (const [s, { name, size }] of tensors.entries()) adding.parameter(name).set(numbers(size, s));
  const before = Float32Array.from(numbers(alone.length, 9));
  adding.gradient('w').set(before);
  adding.run();
  expect([...adding.gradient('w')]).toEqual(Array.from(alone, (g, i) => Math.fround(before[i] + g)));
});

test.each(['relu', 'leakyRelu', 'linear'] as const)(
  'the maximum before bias and %s has the bits of that after',
  async (name) => {
    const f =
      (early: boolean) =>
      ({ x, b }: Record<string, Tensor>): Tensor => {
        const y = ops.activation(name, ops.add(x, b));
        const fused = early ? fusedActivation(x, b, name) : y;
        return ops.maxPool2d(fused, 2);
      };
    const shapes = { x: [2, 6, 6, 5], b: [5] };
    const execute = await wasmExecutors();
    const [late, early] = [false, true].map((is) => differentiate(shapes, f(is), execute));
    expect(early.program.calls.find((call) => call.kernel === 'biasActivation')?.args[3]).toBe(2 * 3 * 3);
    expect([...early.y.data]).toEqual([...late.y.data]);
    expect([...early.executor.gradient('x')]).toEqual([...late.executor.gradient('x')]);
    expectClose(early.executor.gradient('b'), late.executor.gradient('b'), 1e-6);
  },
);

/** activation(x + b) as layers make it: by a product with the identity. */
function fusedActivation(x: Tensor, b: Tensor, name: 'relu' | 'leakyRelu' | 'linear'): Tensor {
  const identity = ops.constant(
    Array.from({ length: 25 }, (_, i) => (i % 6 === 0 ? 1 : 0)),
    [1, 1, 5, 5],
  );
  return biasActivation(ops.conv2d(x, identity), b, name, name === 'leakyRelu' ? 0.01 : 0);
}

const x = ops.input('x', [4, 28, 28, 3]);
const flatRows = ops.input('x', [4, 784]);
test.each<[string, () => Tensor, string, RegExp]>([
  ['flat rows', () => ops.conv2d(flatRows, ops.parameter('w', [3, 3, 1, 8])), 'E_SHAPE', /conv2d.*\[4, 784\].*reshape\(\[28, 28, 1\]\)/s],
  ['other channels', () => ops.conv2d(x, ops.parameter('w', [3, 3, 1, 8])), 'E_SHAPE', /for 3 channels.*\[3, 3, 1, 8\]/s],
  ['groups', () => ops.conv2d(x, ops.parameter('w', [3, 3, 1, 8]), { groups: 3 }), 'E_SHAPE', /3 groups that divide/],
  ['a large window', () => ops.conv2d(x, ops.parameter('w', [31, 3, 3, 8])), 'E_SHAPE', /at least 31 x 3.*28 x 28.*smaller window/s],
  ['padding', () => ops.conv2d(x, ops.parameter('w', [3, 3, 3, 8]), { padding: -1 }), 'E_OPTION', /padding.*-1/s],
  ['a stride', () => ops.maxPool2d(x, 2, { stride: 0 }), 'E_OPTION', /stride.*0/s],
  ['a padded pool', () => ops.maxPool2d(x, 2, { padding: 2 }), 'E_OPTION', /padding below the size 2/],
  ['a pool', () => ops.avgPool2d(x, 29), 'E_SHAPE', /avgPool2d.*at least 29 x 29/s],
  ['a transposed weight', () => ops.convTranspose2d(x, ops.parameter('w', [3, 3, 3, 8])), 'E_SHAPE', /filters \/ groups, in\] for 3 channels/],
  ['output padding', () => ops.convTranspose2d(x, ops.parameter('w', [3, 3, 8, 3]), { stride: 2, outputPadding: 2 }), 'E_OPTION', /below the stride 2/],
  ['a sequence', () => ops.conv1d(x, ops.parameter('w', [3, 3, 8])), 'E_SHAPE', /\[rows, length, channels\]/],
])('%s that does not fit is refused', (_name, make, code, message) => {
  expect(make).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
}); // biome-ignore format: a table
