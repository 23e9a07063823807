import * as ops from '../../src/graph/ops/index.ts';
import type { Nd } from './naive.ts';
import * as np from './naive.ts';
import type { OpRow } from './op-cases.ts';

/** The definition of attention for one head after another, in loops. Columns of head h of part p start at p * width + h * size. */
function attention(
  query: { x: Nd; part: number; parts: number },
  context: { x: Nd; part: number; parts: number },
  { heads, causal, mask }: { heads: number; causal: boolean; mask?: Nd | undefined },
): Nd {
  const [rows, queries, columns] = query.x.shape;
  const width = columns / query.parts;
  const size = width / heads;
  const keys = context.x.shape[1];
  const read = ({ x }: { x: Nd }, part: number, b: number, t: number, h: number, j: number): number =>
    np.at(x, [b, t, part * width + h * size + j]);
  return np.tabulate([rows, queries, width], ([b, i, column]) => {
    const [h, j] = [Math.floor(column / size), column % size];
    const scores = Array.from({ length: keys }, (_, t) => {
      if ((causal && t > i) || (mask && np.at(mask, [b, t]) === 0)) return Number.NEGATIVE_INFINITY;
      let dot = 0;
      for (let c = 0; c < size; c++)
        dot += read(query, query.part, b, i, h, c) * read(context, context.part, b, t, h, c);
      return dot / Math.sqrt(size);
    });
    if (scores.every((score) => score === Number.NEGATIVE_INFINITY)) return 0;
    const weights = np.softmaxRow(scores);
    return weights.reduce((sum, w, t) => sum + w * read(context, context.part + 1, b, t, h, j), 0);
  });
}

export function naiveSelfAttention(qkv: Nd, how: { heads: number; causal: boolean; mask?: Nd | undefined }): Nd {
  return attention({ x: qkv, part: 0, parts: 3 }, { x: qkv, part: 1, parts: 3 }, how);
}

function normalized(x: Nd, centre: boolean, epsilon: number): Nd {
  return np.rows(x, (row) => {
    const mean = centre ? row.reduce((sum, v) => sum + v, 0) / row.length : 0;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / row.length;
    return row.map((v) => (v - mean) / Math.sqrt(variance + epsilon));
  });
}

const NORMS = [
  ['layerNorm', ops.layerNorm],
  ['rmsNorm', ops.rmsNorm],
] as const;

const norms = NORMS.flatMap(([op, norm]): OpRow[] =>
  [true, false].map((affine) => ({
    op,
    label: affine ? 'weight and bias' : 'plain',
    make(random) {
      const columns = random.int(2, 9);
      const shape = [...Array.from({ length: random.int(0, 2) }, () => random.int(1, 3)), columns];
      const epsilon = 0.01;
      return {
        parameters: {
          x: { shape },
          ...(affine && { weight: { shape: [columns] }, bias: { shape: [columns] } }),
        },
        build: ({ x, weight, bias }) => norm(x, affine ? { weight, bias, epsilon } : { epsilon }),
        expected: ({ x, weight, bias }) => {
          const unit = normalized(x, op === 'layerNorm', epsilon);
          return affine
            ? np.zip(
                np.zip(unit, weight, (a, b) => a * b),
                bias,
                (a, b) => a + b,
              )
            : unit;
        },
      };
    },
  })),
);

const attentions = [false, true].flatMap((causal): OpRow[] =>
  [false, true].map((masked) => ({
    op: 'selfAttention',
    label: `${causal ? 'causal' : 'full'}${masked ? ', masked' : ''}`,
    make(random) {
      const [rows, positions, heads, size] = [random.int(1, 2), random.int(1, 5), random.int(1, 2), random.int(1, 3)];
      return {
        parameters: { qkv: { shape: [rows, positions, 3 * heads * size], low: -2, high: 2 } },
        ...(masked && { inputs: { mask: { shape: [rows, positions], low: 0, high: 1 } } }),
        build: ({ qkv }, { mask }) => {
          // The first key stays visible: plain softmax, the oracle of the second derivative, has no row without any.
          const first = ops.constant([1, ...new Array(positions - 1).fill(0)], [positions]);
          const seen = mask && ops.maximum(ops.greater(mask, 0.4), first);
          return ops.selfAttention(qkv, { heads, causal, ...(seen && { mask: seen }) });
        },
        expected: ({ qkv, mask }) => {
          const seen = mask && np.tabulate(mask.shape, ([b, t]) => Number(t === 0 || np.at(mask, [b, t]) > 0.4));
          return naiveSelfAttention(qkv, { heads, causal, mask: seen });
        },
      };
    },
  })),
);

export const TRANSFORMER_ROWS: readonly OpRow[] = [
  ...norms,
  ...attentions,
  {
    op: 'crossAttention',
    make(random) {
      const [rows, queries, keys, heads, size] = [
        random.int(1, 2), random.int(1, 4), random.int(1, 5), random.int(1, 2), random.int(1, 3),
      ]; // biome-ignore format: a list
      const width = heads * size;
      return {
        parameters: { q: { shape: [rows, queries, width] }, kv: { shape: [rows, keys, 2 * width] } },
        build: ({ q, kv }) => ops.crossAttention(q, kv, { heads }),
        expected: ({ q, kv }) =>
          attention({ x: q, part: 0, parts: 1 }, { x: kv, part: 0, parts: 2 }, { heads, causal: false }),
      };
    },
  },
  {
    op: 'rotary',
    make(random) {
      const [rows, positions, heads, half] = [random.int(1, 2), random.int(1, 4), random.int(1, 2), random.int(1, 3)];
      const size = 2 * half;
      return {
        parameters: { x: { shape: [rows, positions, heads * size] } },
        build: ({ x }) => ops.rotary(x, { heads, base: 100 }),
        expected: ({ x }) =>
          np.tabulate(x.shape, ([b, p, column]) => {
            const [h, j] = [Math.floor(column / size), column % size];
            const angle = p * 100 ** (-(j % half) / half);
            const [left, right] = [h * size + (j % half), h * size + half + (j % half)].map((c) => np.at(x, [b, p, c]));
            // (left + i right) turned by the angle; constants of a program are f32.
            const [cos, sin] = [Math.fround(Math.cos(angle)), Math.fround(Math.sin(angle))];
            return j < half ? left * cos - right * sin : right * cos + left * sin;
          }),
      };
    },
  },
];
