import * as ops from '../../src/graph/ops/index.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import { philox4x32 } from '../../src/kernels/reference.ts';
import type { InputNumbers, Numbers } from '../../src/testing.ts';
import { BATCH_NORM_ROWS } from './batch-norm-cases.ts';
import { IMAGE_ROWS } from './image-cases.ts';
import type { Nd, randomStream } from './naive.ts';
import * as np from './naive.ts';
import { type NaiveCell, naiveRecurrent } from './naive-recurrent.ts';
import { TRANSFORMER_ROWS } from './transformer-cases.ts';

type Random = ReturnType<typeof randomStream>;
type Tensors = Record<string, Tensor>;

/** One op on random shapes: what it is built from, how, and what NumPy would say. */
export interface OpCase {
  readonly parameters?: Record<string, Numbers>;
  readonly inputs?: Record<string, InputNumbers>;
  readonly build: (p: Tensors, i: Tensors) => Tensor;
  readonly expected: (v: Record<string, Nd>) => Nd;
}

/** `steps`: no gradient to check, the op is flat or gives integers. `once`: its gradient has no gradient. */
export interface OpRow {
  /** The function of lockstep/ops that the row tests. */
  readonly op: keyof typeof ops;
  readonly label?: string;
  readonly steps?: boolean;
  readonly once?: boolean;
  readonly make: (random: Random) => OpCase;
}

const shapeOf = (random: Random, rank = random.int(1, 4)): number[] =>
  Array.from({ length: rank }, () => random.int(1, 4));

function unary(
  op: keyof typeof ops,
  f: (x: Tensor) => Tensor,
  expected: (x: number) => number,
  range: { low?: number; high?: number } = { low: -2, high: 2 },
  more: { steps?: boolean; label?: string } = {},
): OpRow {
  return {
    op,
    ...more,
    make: (random) => ({
      parameters: { a: { shape: shapeOf(random), ...range } },
      build: ({ a }) => f(a),
      expected: ({ a }) => np.map(a, expected),
    }),
  };
}

/** Two shapes that broadcast: axes dropped in front or shrunk to 1 at random. */
function pair(random: Random): [number[], number[]] {
  const full = shapeOf(random, random.int(1, 4));
  const shrink = (): number[] => {
    const kept = full.slice(random.int(0, 1) * random.int(0, full.length));
    return kept.map((n) => (random.int(0, 2) === 0 ? 1 : n));
  };
  return [shrink(), shrink()];
}

const RECURRENT_OPS = { rnn: ops.rnn, lstm: ops.lstm, gru: ops.gru };

/** Of every cell: any of reverse, sequence, biases and mask, and widths around a vector of four. */
function recurrent(op: keyof typeof RECURRENT_OPS, gates: number, cell: NaiveCell = op): OpRow {
  return {
    op,
    ...(cell === op ? {} : { label: cell }),
    once: true,
    make(random) {
      const [rows, time, features, hidden] = [random.int(1, 3), random.int(1, 4), random.int(1, 3), random.int(1, 6)];
      const [reverse, sequence, bias, masked] = [0, 1, 2, 3].map(() => random.int(0, 1) === 1);
      const width = gates * hidden;
      const biases: Record<string, Numbers> = bias ? { biasIh: { shape: [width] }, biasHh: { shape: [width] } } : {};
      const options: ops.RecurrentOptions & { activation?: 'tanh' | 'relu' } = {
        reverse,
        return: sequence ? 'sequence' : 'last',
        ...(cell === 'rnnRelu' ? { activation: 'relu' } : {}),
      };
      return {
        parameters: {
          x: { shape: [rows, time, features] },
          weightIh: { shape: [width, features] },
          weightHh: { shape: [width, hidden] },
          ...biases,
        },
        ...(masked ? { inputs: { mask: { shape: [rows, time], dtype: 'i32', size: 2 } as const } } : {}),
        build: ({ x, weightIh, weightHh, biasIh, biasHh }, { mask }) =>
          RECURRENT_OPS[op](x, { weightIh, weightHh, biasIh, biasHh }, { ...options, mask }),
        expected: ({ x, weightIh, weightHh, biasIh, biasHh, mask }) =>
          naiveRecurrent(cell, x, { weightIh, weightHh, biasIh, biasHh }, { mask, reverse, sequence }),
      };
    },
  };
}

type BinaryFunction = (a: ops.Value, b: ops.Value) => Tensor;

function binary(
  op: keyof typeof ops,
  f: BinaryFunction,
  expected: (a: number, b: number) => number,
  range: { low: number; high: number } = { low: -2, high: 2 },
  steps = false,
): OpRow[] {
  const tensors: OpRow = {
    op,
    steps,
    make(random) {
      const [a, b] = pair(random);
      return {
        parameters: { a: { shape: a, ...range }, b: { shape: b, ...range } },
        build: ({ a, b }) => f(a, b),
        expected: ({ a, b }) => np.zip(a, b, expected),
      };
    },
  };
  const number = (label: string, apply: (x: Tensor) => Tensor, value: (x: number) => number): OpRow => ({
    ...unary(op, apply, value, range, { steps, label }),
  });
  return [
    tensors,
    number('number right', (x) => f(x, 1.5), (x) => expected(x, 1.5)),
    number('number left', (x) => f(1.5, x), (x) => expected(1.5, x)),
    {
      op,
      label: 'same shape',
      steps,
      make(random) {
        const shape = shapeOf(random);
        return {
          parameters: { a: { shape, ...range }, b: { shape, ...range } },
          build: ({ a, b }) => f(a, b),
          expected: ({ a, b }) => np.zip(a, b, expected),
        };
      },
    },
  ]; // biome-ignore format: a table
}

function compare(op: keyof typeof ops, f: BinaryFunction, expected: (a: number, b: number) => boolean): OpRow[] {
  return [
    ...binary(op, f, (a, b) => Number(expected(a, b)), undefined, true),
    {
      op,
      label: 'integers',
      steps: true,
      make(random) {
        const rows = random.int(2, 9);
        const inputs: Record<string, InputNumbers> = {
          a: { shape: [rows], dtype: 'i32', size: 3 },
          b: { shape: [rows], dtype: 'i32', size: 3 },
        };
        return {
          inputs,
          build: (_p, { a, b }) => f(a, b),
          expected: ({ a, b }) => np.zip(a, b, (x, y) => Number(expected(x, y))),
        };
      },
    },
  ];
}

function reduction(
  op: keyof typeof ops,
  f: (x: Tensor, options: ops.ReduceOptions) => Tensor,
  expected: (values: number[]) => number,
): OpRow[] {
  return [false, true].map((keepDims) => ({
    op,
    label: keepDims ? 'keepDims' : 'random axes',
    make(random) {
      const shape = shapeOf(random);
      const axes = shape.map((_, d) => d).filter(() => random.int(0, 1) === 1);
      const given = axes.map((d) => (random.int(0, 1) === 1 ? d : d - shape.length));
      return {
        parameters: { a: { shape } },
        build: ({ a }) => f(a, { axis: given, keepDims }),
        expected: ({ a }) => np.reduce(a, axes, keepDims, expected),
      };
    },
  }));
}

const total = (values: number[]): number => values.reduce((sum, v) => sum + v, 0);
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const gelu = (x: number): number => 0.5 * x * (1 + np.erf(x / Math.SQRT2));
const geluTanh = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const softplus = (x: number): number => Math.log(1 + Math.exp(x));

const ACTIVATIONS = {
  linear: (x) => x,
  relu: (x) => Math.max(x, 0),
  leakyRelu: (x) => (x > 0 ? x : 0.01 * x),
  elu: (x) => (x > 0 ? x : Math.exp(x) - 1),
  tanh: Math.tanh,
  sigmoid,
  gelu,
  geluTanh,
  silu: (x) => x * sigmoid(x),
  softplus,
} as const satisfies Record<string, (x: number) => number>;

type ActivationName = keyof typeof ACTIVATIONS;
const ACTIVATION_NAMES = Object.keys(ACTIVATIONS).filter((name): name is ActivationName => name in ACTIVATIONS);

const linearRows: OpRow[] = ACTIVATION_NAMES.flatMap((name) =>
  [true, false].map(
    (withBias): OpRow => ({
      op: 'linear',
      label: `${name}${withBias ? '' : ', no bias'}`,
      make(random) {
        const [inputs, outputs] = [random.int(1, 5), random.int(1, 5)];
        return {
          parameters: {
            w: { shape: [inputs, outputs] },
            ...(withBias && { b: { shape: [outputs] } }),
            x: { shape: [...shapeOf(random, random.int(1, 3)), inputs] },
          },
          build: ({ x, w, b }) => ops.linear(x, w, b, name),
          expected({ x, w, b }) {
            const shape = [...x.shape.slice(0, -1), w.shape[1]];
            const flat = np.matmul({ shape: [x.data.length / inputs, inputs], data: x.data }, w);
            const z = { shape, data: flat.data };
            return np.map(withBias ? np.zip(z, b, (p, q) => p + q) : z, ACTIVATIONS[name]);
          },
        };
      },
    }),
  ),
);

const nll = (row: number[], label: number, smoothing: number): number => {
  const losses = np.softmaxRow(row).map((p) => -Math.log(p));
  return (1 - smoothing) * losses[label] + smoothing * (total(losses) / row.length);
};

/** The dropout mask by its definition, salt 0, key (1, 2, 3, 4). */
export const DROPOUT_KEY = [1, 2, 3, 4] as const;
function keeps(i: number, rate: number): boolean {
  const words = new Uint32Array(4);
  philox4x32(words, Math.floor(i / 4), 0, DROPOUT_KEY[2], DROPOUT_KEY[3], DROPOUT_KEY[0], DROPOUT_KEY[1]);
  return Math.floor(words[i % 4] / 256) / 2 ** 24 >= rate;
}

export const OP_ROWS: readonly OpRow[] = [
  ...IMAGE_ROWS,
  unary('neg', ops.neg, (x) => -x),
  unary('exp', ops.exp, Math.exp),
  unary('log', ops.log, Math.log, { low: 0.2, high: 3 }),
  unary('sqrt', ops.sqrt, Math.sqrt, { low: 0.2, high: 3 }),
  unary('abs', ops.abs, Math.abs),
  unary('square', ops.square, (x) => x * x),
  unary('reciprocal', ops.reciprocal, (x) => 1 / x, { low: 0.5, high: 2 }),
  unary('sign', ops.sign, Math.sign, undefined, { steps: true }),
  unary('floor', ops.floor, Math.floor, undefined, { steps: true }),
  unary('sin', ops.sin, Math.sin),
  unary('cos', ops.cos, Math.cos),
  unary('erf', ops.erf, np.erf),
  unary(
    'clamp',
    (x) => ops.clamp(x, -0.5, 0.75),
    (x) => Math.min(Math.max(x, -0.5), 0.75),
  ),
  unary('tanh', ops.tanh, Math.tanh),
  unary('sigmoid', ops.sigmoid, sigmoid),
  unary('relu', ops.relu, ACTIVATIONS.relu),
  unary(
    'leakyRelu',
    (x) => ops.leakyRelu(x, 0.3),
    (x) => (x > 0 ? x : 0.3 * x),
  ),
  unary('leakyRelu', ops.leakyRelu, ACTIVATIONS.leakyRelu, undefined, { label: 'default' }),
  unary(
    'elu',
    (x) => ops.elu(x, 1.5),
    (x) => (x > 0 ? x : 1.5 * (Math.exp(x) - 1)),
  ),
  unary('elu', ops.elu, ACTIVATIONS.elu, undefined, { label: 'default' }),
  unary('gelu', ops.gelu, gelu),
  unary('gelu', (x) => ops.gelu(x, { approximate: 'tanh' }), geluTanh, undefined, { label: 'tanh' }),
  unary('silu', ops.silu, ACTIVATIONS.silu),
  unary('softplus', ops.softplus, softplus),
  unary('activation', (x) => ops.activation('elu', x), ACTIVATIONS.elu),
  unary(
    'pow',
    (x) => ops.pow(x, 3),
    (x) => x ** 3,
    undefined,
    { label: 'cube of any sign' },
  ),

  ...binary('add', ops.add, (a, b) => a + b),
  ...binary('sub', ops.sub, (a, b) => a - b),
  ...binary('mul', ops.mul, (a, b) => a * b),
  ...binary('div', ops.div, (a, b) => a / b, { low: 0.5, high: 2 }),
  ...binary('pow', ops.pow, (a, b) => a ** b, { low: 0.5, high: 2 }),
  ...binary('minimum', ops.minimum, Math.min),
  ...binary('maximum', ops.maximum, Math.max),
  ...compare('equal', ops.equal, (a, b) => a === b),
  ...compare('notEqual', ops.notEqual, (a, b) => a !== b),
  ...compare('less', ops.less, (a, b) => a < b),
  ...compare('lessEqual', ops.lessEqual, (a, b) => a <= b),
  ...compare('greater', ops.greater, (a, b) => a > b),
  ...compare('greaterEqual', ops.greaterEqual, (a, b) => a >= b),
  {
    op: 'where',
    make(random) {
      const [a, b] = pair(random);
      const c = np.broadcast(a, b).map((n) => (random.int(0, 1) === 0 ? 1 : n));
      return {
        parameters: { a: { shape: a }, b: { shape: b }, c: { shape: c } },
        build: ({ a, b, c }) => ops.where(ops.greater(c, 0), a, b),
        expected: ({ a, b, c }) =>
          np.tabulate(np.broadcast(a.shape, b.shape, c.shape), (i) => (np.at(c, i) > 0 ? np.at(a, i) : np.at(b, i))),
      };
    },
  },
  {
    op: 'cast',
    steps: true,
    make: (random) => ({
      inputs: { a: { shape: [random.int(1, 9)], dtype: 'i32', size: 100 } },
      build: (_p, { a }) => ops.cast(a),
      expected: ({ a }) => a,
    }),
  },

  ...reduction('sum', ops.sum, total),
  ...reduction('mean', ops.mean, (values) => total(values) / values.length),
  ...reduction('max', ops.max, (values) => Math.max(...values)),
  ...reduction('min', ops.min, (values) => Math.min(...values)),
  {
    op: 'sum',
    label: 'all axes',
    make: (random) => ({
      parameters: { a: { shape: shapeOf(random) } },
      build: ({ a }) => ops.sum(a),
      expected: ({ a }) => np.scalar(total([...a.data])),
    }),
  },

  {
    op: 'reshape',
    make(random) {
      const shape = shapeOf(random);
      const half = random.int(0, shape.length - 1);
      return {
        parameters: { a: { shape } },
        build: ({ a }) => ops.square(ops.reshape(a, [...shape.slice(0, half), -1])),
        expected: ({ a }) => ({
          shape: [...shape.slice(0, half), shape.slice(half).reduce((n, d) => n * d, 1)],
          data: a.data.map((v) => v * v),
        }),
      };
    },
  },
  {
    op: 'flatten',
    make(random) {
      const shape = shapeOf(random);
      return {
        parameters: { a: { shape } },
        build: ({ a }) => ops.flatten(a),
        expected: ({ a }) => ({ shape: [shape[0], a.data.length / shape[0]], data: a.data }),
      };
    },
  },
  {
    op: 'transpose',
    make(random) {
      const shape = shapeOf(random);
      const permutation = shape.map((_, d) => [d, random.next()]).sort((p, q) => p[1] - q[1]).map(([d]) => d); // biome-ignore format: short
      return {
        parameters: { a: { shape } },
        build: ({ a }) => ops.transpose(a, permutation),
        expected: ({ a }) => np.transpose(a, permutation),
      };
    },
  },
  {
    op: 'broadcastTo',
    make(random) {
      const [shape, other] = pair(random);
      const target = np.broadcast(shape, other);
      return {
        parameters: { a: { shape } },
        build: ({ a }) => ops.broadcastTo(a, target),
        expected: ({ a }) => np.tabulate(target, (i) => np.at(a, i)),
      };
    },
  },
  {
    op: 'slice',
    make(random) {
      const shape = shapeOf(random).map((n) => n + 1);
      const axis = random.int(0, shape.length - 1);
      const start = random.int(0, shape[axis] - 1);
      const end = random.int(start + 1, shape[axis]);
      return {
        parameters: { a: { shape } },
        build: ({ a }) => ops.slice(a, axis, start, end),
        expected: ({ a }) =>
          np.tabulate(shape.map((n, d) => (d === axis ? end - start : n)), (index) =>
            np.at(a, index.map((i, d) => (d === axis ? i + start : i))),
          ), // biome-ignore format: short
      };
    },
  },
  {
    op: 'slice',
    label: 'from the end',
    make: (random) => ({
      parameters: { a: { shape: [random.int(1, 3), 5] } },
      build: ({ a }) => ops.slice(a, -1, -3, -1),
      expected: ({ a }) => np.tabulate([a.shape[0], 2], ([i, j]) => np.at(a, [i, j + 2])),
    }),
  },
  {
    op: 'pad',
    make(random) {
      const shape = shapeOf(random);
      const widths = shape.map(() => [random.int(0, 2), random.int(0, 2)]);
      return {
        parameters: { a: { shape } },
        build: ({ a }) => ops.pad(a, widths, 0.5),
        expected: ({ a }) =>
          np.tabulate(shape.map((n, d) => n + widths[d][0] + widths[d][1]), (index) => {
            const source = index.map((i, d) => i - widths[d][0]);
            return source.every((i, d) => i >= 0 && i < shape[d]) ? np.at(a, source) : 0.5;
          }), // biome-ignore format: short
      };
    },
  },
  {
    op: 'concat',
    make(random) {
      const shape = shapeOf(random);
      const axis = random.int(0, shape.length - 1);
      const longer = shape.map((n, d) => (d === axis ? n + 1 : n));
      return {
        parameters: { a: { shape }, b: { shape: longer } },
        build: ({ a, b }) => ops.concat([a, b, a], axis),
        expected: ({ a, b }) =>
          np.tabulate(shape.map((n, d) => (d === axis ? 3 * n + 1 : n)), (index) => {
            const n = shape[axis];
            const i = index[axis];
            const move = (by: number): number[] => index.map((k, d) => (d === axis ? k - by : k));
            return i < n ? np.at(a, move(0)) : i < 2 * n + 1 ? np.at(b, move(n)) : np.at(a, move(2 * n + 1));
          }), // biome-ignore format: short
      };
    },
  },
  {
    op: 'stack',
    make(random) {
      const shape = shapeOf(random);
      const axis = random.int(0, shape.length);
      return {
        parameters: { a: { shape }, b: { shape } },
        build: ({ a, b }) => ops.stack([a, b], axis),
        expected: ({ a, b }) =>
          np.tabulate([...shape.slice(0, axis), 2, ...shape.slice(axis)], (index) =>
            np.at(index[axis] === 0 ? a : b, index.filter((_, d) => d !== axis)),
          ), // biome-ignore format: short
      };
    },
  },

  {
    op: 'matmul',
    make(random) {
      const [m, k, n] = [random.int(1, 5), random.int(1, 5), random.int(1, 5)];
      return {
        parameters: { a: { shape: [m, k] }, b: { shape: [k, n] } },
        build: ({ a, b }) => ops.matmul(a, b),
        expected: ({ a, b }) => np.matmul(a, b),
      };
    },
  },
  ...[
    [true, false],
    [false, true],
    [true, true],
  ].map(
    ([transA, transB]): OpRow => ({
      op: 'matmul',
      label: `transposed ${transA ? 'left' : ''} ${transB ? 'right' : ''}`,
      make(random) {
        const [m, k, n] = [random.int(1, 5), random.int(1, 5), random.int(1, 5)];
        const flip = (x: Tensor, yes: boolean): Tensor => (yes ? ops.transpose(x) : x);
        return {
          parameters: { a: { shape: transA ? [k, m] : [m, k] }, b: { shape: transB ? [n, k] : [k, n] } },
          build: ({ a, b }) => ops.matmul(flip(a, transA), flip(b, transB)),
          expected: ({ a, b }) => np.matmul(transA ? np.transpose(a, [1, 0]) : a, transB ? np.transpose(b, [1, 0]) : b),
        };
      },
    }),
  ),
  {
    op: 'matmul',
    label: 'batched, broadcast',
    make(random) {
      const [m, k, n] = [random.int(1, 3), random.int(1, 3), random.int(1, 3)];
      const [a, b] = pair(random).map((s) => s.slice(-2));
      return {
        parameters: { a: { shape: [...a, m, k] }, b: { shape: [...b, k, n] } },
        build: ({ a, b }) => ops.matmul(a, b),
        expected: ({ a, b }) => np.matmul(a, b),
      };
    },
  },
  {
    op: 'matmul',
    label: 'batched, right side transposed',
    make(random) {
      const [m, k, n] = [random.int(1, 3), random.int(1, 3), random.int(1, 3)];
      return {
        parameters: { a: { shape: [2, m, k] }, b: { shape: [2, n, k] } },
        build: ({ a, b }) => ops.matmul(a, ops.transpose(b, [0, 2, 1])),
        expected: ({ a, b }) => np.matmul(a, np.transpose(b, [0, 2, 1])),
      };
    },
  },
  ...linearRows,
  {
    op: 'gather',
    make(random) {
      const [n, rest] = [random.int(1, 5), shapeOf(random, random.int(0, 2))];
      const indices = shapeOf(random, random.int(1, 2));
      return {
        parameters: { table: { shape: [n, ...rest] } },
        inputs: { i: { shape: indices, dtype: 'i32', size: n } },
        build: ({ table }, { i }) => ops.gather(table, i),
        expected: ({ table, i }) =>
          np.tabulate([...indices, ...rest], (index) =>
            np.at(table, [np.at(i, index.slice(0, indices.length)), ...index.slice(indices.length)]),
          ),
      };
    },
  },

  ...(
    [
      ['softmax', ops.softmax],
      ['logSoftmax', ops.logSoftmax],
    ] as const
  ).flatMap(([op, f]): OpRow[] => [
    {
      op,
      make: (random) => ({
        parameters: { a: { shape: shapeOf(random) } },
        build: ({ a }) => f(a),
        expected: ({ a }) =>
          np.rows(a, (row) => (op === 'softmax' ? np.softmaxRow(row) : np.softmaxRow(row).map(Math.log))),
      }),
    },
    {
      op,
      label: 'axis 0',
      make: (random) => ({
        parameters: { a: { shape: [random.int(2, 4), random.int(1, 4)] } },
        build: ({ a }) => f(a, 0),
        expected: ({ a }) => {
          const columns = np.rows(np.transpose(a, [1, 0]), np.softmaxRow);
          return np.map(np.transpose(columns, [1, 0]), op === 'softmax' ? (p) => p : Math.log);
        },
      }),
    },
  ]),
  ...[0, 0.1].map(
    (smoothing): OpRow => ({
      op: 'softmaxCrossEntropy',
      label: `smoothing ${smoothing}`,
      make(random) {
        const outer = shapeOf(random, random.int(1, 2));
        const classes = random.int(2, 5);
        return {
          parameters: { logits: { shape: [...outer, classes] } },
          inputs: { labels: { shape: outer, dtype: 'i32', size: classes } },
          build: ({ logits }, { labels }) => ops.softmaxCrossEntropy(logits, labels, { smoothing }),
          expected: ({ logits, labels }) => ({
            shape: outer,
            data: labels.data.map((label, i) =>
              nll(logits.data.slice(i * classes, (i + 1) * classes), label, smoothing),
            ),
          }),
        };
      },
    }),
  ),
  ...TRANSFORMER_ROWS,
  {
    op: 'bceWithLogits',
    make(random) {
      const shape = shapeOf(random);
      return {
        parameters: { z: { shape, low: -3, high: 3 }, t: { shape, low: 0, high: 1 } },
        build: ({ z, t }) => ops.bceWithLogits(z, t),
        expected: ({ z, t }) => np.zip(z, t, (x, y) => -y * Math.log(sigmoid(x)) - (1 - y) * Math.log(1 - sigmoid(x))),
      };
    },
  },
  {
    op: 'argmax',
    steps: true,
    make(random) {
      const shape = shapeOf(random);
      const axis = random.int(0, shape.length - 1);
      return {
        parameters: { a: { shape } },
        build: ({ a }) => ops.argmax(a, axis),
        expected: ({ a }) => np.reduce(a, [axis], false, (values) => values.indexOf(Math.max(...values))),
      };
    },
  },
  {
    op: 'inTopK',
    steps: true,
    make(random) {
      const [n, classes, k] = [random.int(2, 6), random.int(3, 6), random.int(1, 3)];
      return {
        parameters: { a: { shape: [n, classes] } },
        inputs: { labels: { shape: [n], dtype: 'i32', size: classes } },
        build: ({ a }, { labels }) => ops.inTopK(a, labels, k),
        expected: ({ a, labels }) => ({
          shape: [n],
          data: labels.data.map((label, i) => {
            const row = a.data.slice(i * classes, (i + 1) * classes);
            const place = [...row].sort((p, q) => q - p).indexOf(row[label]);
            return Number(place < k);
          }),
        }),
      };
    },
  },
  {
    op: 'dropout',
    make: (random) => ({
      parameters: { a: { shape: [random.int(5, 30)] } },
      build: ({ a }) => ops.dropout(a, 0.25),
      expected: ({ a }) => ({ shape: a.shape, data: a.data.map((x, i) => (keeps(i, 0.25) ? x / 0.75 : 0)) }),
    }),
  },
  {
    op: 'stopGradient',
    steps: true,
    make: (random) => ({
      parameters: { a: { shape: shapeOf(random) } },
      build: ({ a }) => ops.stopGradient(a),
      expected: ({ a }) => a,
    }),
  },
  {
    op: 'constant',
    make: (random) => ({
      parameters: { a: { shape: [random.int(1, 4), 2] } },
      build: ({ a }) => ops.mul(ops.add(a, ops.constant([0.5, -2])), ops.constant(Float32Array.of(0.25, 4), [1, 2])),
      expected: ({ a }) => np.tabulate(a.shape, ([i, j]) => (np.at(a, [i, j]) + [0.5, -2][j]) * [0.25, 4][j]),
    }),
  },
  {
    op: 'constant',
    label: 'large and uniform',
    make: () => ({
      parameters: { a: { shape: [3] } },
      build: ({ a }) => ops.maximum(ops.constant(0.125, [700, 3]), a),
      expected: ({ a }) => np.tabulate([700, 3], ([, j]) => Math.max(0.125, a.data[j])),
    }),
  },
  {
    op: 'input',
    make: (random) => ({
      parameters: { a: { shape: [2] } },
      inputs: { x: { shape: [random.int(1, 5), 2] } },
      build: ({ a }, { x }) => ops.mul(a, x),
      expected: ({ a, x }) => np.zip(a, x, (p, q) => p * q),
    }),
  },
  unary(
    'parameter',
    (x) => ops.add(x, x),
    (x) => 2 * x,
  ),
  recurrent('rnn', 1),
  recurrent('rnn', 1, 'rnnRelu'),
  recurrent('lstm', 4),
  recurrent('gru', 3),
  ...BATCH_NORM_ROWS,
];
