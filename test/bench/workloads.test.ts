import { expect, test } from 'vitest';
import { gemmFlop, makeRows, WORKLOADS, type Workload } from '../../scripts/bench/workloads.ts';

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

test.each(['small', 'mlp'])('GEMM work of %s', (name) => {
  const { model, batch } = named(name);
  expect(gemmFlop(model, batch)).toBe(countFlop(model.sizes, batch));
});

test('the published amounts: 309 and 2.2 MFLOP a step', () => {
  expect(gemmFlop(named('mlp').model, 128) / 1e6).toBeCloseTo(308, 0);
  expect(gemmFlop(named('small').model, 64) / 1e6).toBeCloseTo(2.1, 1);
});

test('rows follow from the seed, and labels are learnable but not all right', () => {
  const workload: Workload = { ...named('small'), rows: 4000, features: 2, classes: 2 };
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
