import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileProgram } from '../../src/graph/compile.ts';
import * as ops from '../../src/graph/ops/index.ts';
import { planMemory } from '../../src/graph/plan.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import { gradCheck, referenceExecutor } from '../../src/testing.ts';
import { tableOf } from './models.ts';
import type { Nd } from './naive.ts';
import * as np from './naive.ts';

const lifetimes = fc.array(
  fc.record({ bytes: fc.integer({ min: 1, max: 1000 }), start: fc.nat(30), length: fc.nat(10) }),
  { maxLength: 40 },
);

test('no two buffers that live at one moment overlap, and all are aligned and inside', () => {
  fc.assert(
    fc.property(lifetimes, (drawn) => {
      const buffers = drawn.map(({ bytes, start, length }) => ({ bytes, first: start, last: start + length }));
      const { offsets, bytes } = planMemory(buffers);
      for (const [i, a] of buffers.entries()) {
        expect(offsets[i] % 64).toBe(0);
        expect(offsets[i] + a.bytes).toBeLessThanOrEqual(bytes);
        for (const [j, b] of buffers.entries()) {
          const together = i !== j && a.first <= b.last && b.first <= a.last;
          const apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
          expect(!together || apart).toBe(true);
        }
      }
    }),
  );
});

test('memory is used again: a chain of equal buffers needs two of them', () => {
  const chain = Array.from({ length: 20 }, (_, i) => ({ bytes: 640, first: i, last: i + 1 }));
  expect(planMemory(chain).bytes).toBe(2 * 640);
});

test('a hole is filled by the buffer that fits it best', () => {
  const { offsets, bytes } = planMemory([
    { bytes: 640, first: 0, last: 9 },
    { bytes: 128, first: 0, last: 1 },
    { bytes: 128, first: 2, last: 3 },
  ]);
  expect(offsets[2]).toBe(offsets[1]);
  expect(bytes).toBe(768);
});

/** An op on the tensors made so far (4 x 3 all), with its plain meaning. Chosen to stress in-place work and aliases, and bounded. */
interface Step {
  readonly apply: (a: Tensor, b: Tensor) => Tensor;
  readonly naive: (a: Nd, b: Nd) => Nd;
}

const row = (x: Nd): Nd => np.reduce(x, [0], false, (v) => v.reduce((s, e) => s + e, 0));
const STEPS: readonly Step[] = [
  { apply: (a, b) => ops.mul(ops.add(a, b), 0.5), naive: (a, b) => np.zip(a, b, (x, y) => (x + y) * 0.5) },
  { apply: (a, b) => ops.mul(a, ops.tanh(b)), naive: (a, b) => np.zip(a, b, (x, y) => x * Math.tanh(y)) },
  { apply: (a) => ops.tanh(a), naive: (a) => np.map(a, Math.tanh) },
  { apply: (a) => ops.sin(a), naive: (a) => np.map(a, Math.sin) },
  {
    apply: (a) => ops.tanh(ops.reshape(ops.sin(ops.reshape(a, [3, 4])), [4, 3])),
    naive: (a) => np.map(a, (x) => Math.tanh(Math.sin(x))),
  },
  {
    apply: (a, b) => ops.sin(ops.sub(ops.reshape(ops.transpose(ops.reshape(a, [3, 4])), [4, 3]), b)),
    naive: (a, b) => np.zip(np.transpose({ shape: [3, 4], data: a.data }, [1, 0]), b, (x, y) => Math.sin(x - y)),
  },
  {
    apply: (a, b) => ops.add(a, ops.sum(ops.sin(b), { axis: 0 })),
    naive: (a, b) => np.zip(a, row(np.map(b, Math.sin)), (x, y) => x + y),
  },
  { apply: (a) => ops.softmax(a), naive: (a) => np.rows(a, np.softmaxRow) },
  {
    apply: (a, b) => ops.slice(ops.concat([a, b], 0), 0, 2, 6),
    naive: (a, b) => np.tabulate([4, 3], ([i, j]) => (i < 2 ? np.at(a, [i + 2, j]) : np.at(b, [i - 2, j]))),
  },
  {
    apply: (a, b) => ops.tanh(ops.matmul(ops.tanh(ops.matmul(a, ops.transpose(b))), ops.tanh(a))),
    naive: (a, b) => {
      const inner = np.map(np.matmul(a, np.transpose(b, [1, 0])), Math.tanh);
      return np.map(np.matmul(inner, np.map(a, Math.tanh)), Math.tanh);
    },
  },
  {
    apply: (a, b) => ops.where(ops.greater(a, b), ops.sin(a), ops.mul(b, 0.5)),
    naive: (a, b) => np.zip(a, b, (x, y) => (x > y ? Math.sin(x) : y * 0.5)),
  },
  {
    apply: (a, b) => ops.linear(ops.softmax(a), ops.slice(ops.sin(b), 0, 0, 3), ops.sum(b, { axis: 0 }), 'gelu'),
    naive: (a, b) => {
      const w = np.tabulate([3, 3], ([i, j]) => Math.sin(np.at(b, [i, j])));
      const z = np.zip(np.matmul(np.rows(a, np.softmaxRow), w), row(b), (x, y) => x + y);
      return np.map(z, (x) => 0.5 * x * (1 + np.erf(x / Math.SQRT2)));
    },
  },
];

const graphs = fc.array(fc.record({ op: fc.nat(STEPS.length - 1), a: fc.nat(), b: fc.nat(), kept: fc.boolean() }), {
  minLength: 3,
  maxLength: 14,
});

test('random graphs compute the same with and without reuse of memory', () => {
  const tensors = tableOf({ p: [4, 3] });
  const data = Array.from({ length: 12 }, (_, i) => Math.sin(i + 0.5));
  fc.assert(
    fc.property(graphs, (drawn) => {
      const made: Tensor[] = [ops.parameter('p', [4, 3])];
      const naive: Nd[] = [{ shape: [4, 3], data }];
      const outputs: Record<string, Tensor> = {};
      for (const [i, { op, a, b, kept }] of drawn.entries()) {
        const [left, right] = [a % made.length, b % made.length];
        made.push(STEPS[op].apply(made[left], made[right]));
        naive.push(STEPS[op].naive(naive[left], naive[right]));
        if (kept || i === drawn.length - 1) outputs[i + 1] = made[i + 1];
      }
      const executor = referenceExecutor(
        compileProgram({ rows: 1, fields: [], tensors, outputs, gradients: false }),
        tensors,
      );
      executor.parameter('p').set(data);
      executor.run();
      for (const name of Object.keys(outputs)) {
        const expected = naive[Number(name)].data;
        for (const [i, value] of executor.output(name).data.entries()) {
          expect(Math.abs(value - expected[i])).toBeLessThan(1e-9 * Math.max(1, Math.abs(expected[i])));
        }
      }
    }),
    { numRuns: 100, seed: 1 },
  );
});

test('gradients of random graphs survive the reuse of memory', () => {
  const smooth = STEPS.filter(({ apply }) => !apply.toString().includes('where'));
  fc.assert(
    fc.property(graphs, (drawn) => {
      gradCheck(
        ({ p }) => {
          const made: Tensor[] = [p];
          for (const { op, a, b } of drawn) {
            made.push(smooth[op % smooth.length].apply(made[a % made.length], made[b % made.length]));
          }
          return {
            value: ops.sum(
              made.map((x) => ops.tanh(x)).reduce((x, y) => ops.add(x, y)),
              { axis: 1 },
            ),
          };
        },
        { parameters: { p: { shape: [4, 3] } }, tolerance: 1e-5 },
      );
    }),
    { numRuns: 40, seed: 1 },
  );
});
