import { expect, test } from 'vitest';
import { gemmFlop } from '../../scripts/bench/flop.ts';
import { makeRows } from '../../src/scaling/rows.ts';
import { type ModelSpec, WORKLOADS, type Workload } from '../../src/scaling/workloads.ts';

const named = (name: string): Workload => {
  const found = WORKLOADS.find((w) => w.name === name);
  if (!found) throw new Error(name);
  return found;
};

/** Multiplications and additions of each product, counted one by one. */
function countFlop(sizes: readonly number[], rows: number): number {
  const product = (m: number, n: number, k: number) => m * n * 2 * k;
  let flop = 0;
  for (let layer = 1; layer < sizes.length; layer++) {
    const [ins, outs] = [sizes[layer - 1], sizes[layer]];
    flop += product(rows, outs, ins); // forward
    flop += product(ins, outs, rows); // gradient of the weights
    if (layer > 1) flop += product(rows, ins, outs); // gradient of the inputs, not of the data
  }
  return flop;
}

const sizesOf = (model: ModelSpec): readonly number[] => (model.kind === 'dense' ? model.sizes : []);

test.each(['small', 'mlp'])('GEMM work of %s', (name) => {
  const workload = named(name);
  expect(gemmFlop(workload, workload.batch)).toBe(countFlop(sizesOf(workload.model), workload.batch));
});

test.each([
  ['small', 2.1],
  ['mlp', 308],
  ['cnn', 1600],
  ['lstm', 237],
  ['gpt', 3963],
])('the published amount of %s: %d MFLOP a step', (name, mflop) => {
  const workload = named(name);
  const measured = gemmFlop(workload, workload.batch) / 1e6;
  expect(Math.abs(measured / mflop - 1)).toBeLessThan(0.02);
});

test('the next token follows from two, nine times in ten', () => {
  const { classes, rows, x, y } = { ...named('gpt'), rows: 100, ...makeRows({ ...named('gpt'), rows: 100 }, 1) };
  expect([x.length, y.length]).toEqual([rows * 64, rows * 64]);
  const wrong: number[] = [];
  let follow = 0;
  let all = 0;
  for (let i = 0; i < x.length; i++) {
    if (!(y[i] >= 0 && y[i] < classes) || (i % 64 < 63 && x[i + 1] !== y[i])) wrong.push(i);
    if (i % 64 === 0) continue;
    all++;
    if (y[i] === (3 * x[i - 1] + x[i] + 1) % classes) follow++;
  }
  expect(wrong).toEqual([]);
  expect(follow / all).toBeGreaterThan(0.88);
  expect(follow / all).toBeLessThan(0.93);
});

test('rows follow from the seed, and labels are learnable but not all right', () => {
  const workload: Workload = { ...named('small'), rows: 4000, input: { dtype: 'f32', shape: [2] }, classes: 2 };
  const { x, y } = makeRows(workload, 1);
  expect(makeRows(workload, 1)).toEqual({ x, y });
  expect(makeRows(workload, 2).x).not.toEqual(x);
  // The border between the two classes is a line through the origin: find the best of many by trying.
  let best = 0;
  for (let degrees = 0; degrees < 360; degrees += 1) {
    const [a, b] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    let right = 0;
    for (let r = 0; r < y.length; r++) if (Number(a * x[2 * r] + b * x[2 * r + 1] > 0) === y[r]) right++;
    best = Math.max(best, right / y.length);
  }
  expect(best).toBeGreaterThan(0.93); // one label in ten is drawn anew, half of those are wrong
  expect(best).toBeLessThan(0.97);
});
