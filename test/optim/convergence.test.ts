import { describe, expect, test } from 'vitest';
import { OPTIMIZERS, resolveOptimizer, WRAPPERS } from '../../src/optim/catalogue.ts';
import { type Objective, type OptimizerRun, runOptimizer } from '../../src/optim/run.ts';
import { lrAt } from '../../src/optim/schedules.ts';
import { ALL } from './all.ts';
import { parabola, rosenbrock, tensorTable } from './vectors.ts';

const STEPS = 10_000;
const FUNCTIONS = [
  { name: 'parabola', objective: parabola, start: [-1, 10] },
  { name: 'rosenbrock', objective: rosenbrock, start: [-1.2, 1] },
] as const;

describe.each(FUNCTIONS)('$name', ({ name, objective, start }) => {
  test.each(ALL)('$description.kind reaches the minimum: $description', ({ exception, shapes = [[2]], ...row }) => {
    const description = name === 'rosenbrock' ? (row.rosenbrock ?? row.description) : row.description;
    const { def, options, schedule } = resolveOptimizer(description);
    const run = runOptimizer(def, options, tensorTable(...shapes), Float64Array.from(start));
    const first = objective(run.params);
    for (let t = 1; t <= STEPS; t++) run.step(objective, lrAt(schedule, t, STEPS));
    const end = run.evalParameters();
    expect(Math.hypot(end[0] - 1, end[1] - 1)).toBeLessThanOrEqual(exception?.[name] ?? 3e-2);
    expect(objective(end)).toBeLessThan(first / (exception?.[name] ? 10 : 1000));
  });
});

test('every optimizer has its row', () => {
  const kinds = new Set(ALL.map(({ description }) => description.kind));
  expect([...kinds].sort()).toEqual([...Object.keys(OPTIMIZERS), ...Object.keys(WRAPPERS)].sort());
});

/** A quadratic function, curved up and down. */
const noise: Objective = (p, grad) => {
  let loss = 0;
  for (let i = 0; i < p.length; i++) {
    const curvature = (i % 7) - 3;
    loss += p[i] * (0.5 * curvature * p[i] + 0.1 * i);
    if (grad) grad[i] = Math.fround(p[i] * curvature + 0.1 * i);
  }
  return loss;
};
const tensors = tensorTable([5, 9], [64], [3, 2]);
const begin = () => Float32Array.from({ length: 128 }, (_, i) => i / 50 - 1);

test.each(ALL)(
  '$description.kind: where the tensor is cut into blocks does not matter: $description',
  ({ description }) => {
    const { def, options, schedule } = resolveOptimizer(description);
    const ends = [1, 5, 64, 1000].map((blockSize) => {
      const run = runOptimizer(def, options, tensors, begin(), blockSize);
      for (let t = 1; t <= 5; t++) run.step(noise, lrAt(schedule, t, 1000) / 100);
      return [...run.params];
    });
    const exact = !def.measure && !def.drive; // sums over views are added in another order
    for (const end of ends) {
      if (exact) expect(end).toEqual(ends[0]);
      else expect(Math.max(...end.map((x, i) => Math.abs(x - ends[0][i])))).toBeLessThan(1e-5);
    }
    expect(ends[0].filter((x, i) => x !== begin()[i]).length).toBeGreaterThan(50);
  },
);

test.each(ALL)('$description.kind: state saved and loaded goes on to the bit: $description', ({ description }) => {
  const { def, options, schedule } = resolveOptimizer(description);
  const run = () => runOptimizer(def, options, tensors, begin(), 16);
  const go = (of: OptimizerRun, from: number, to: number) => {
    for (let t = from; t <= to; t++) of.step(noise, lrAt(schedule, t, 1000) / 100);
  };
  const whole = run();
  go(whole, 1, 12);
  const first = run();
  go(first, 1, 5);
  const saved = structuredClone(first.save());
  const second = run();
  go(second, 1, 2); // whatever it was before
  second.load(saved);
  go(second, 6, 12);
  expect(second.save()).toEqual(whole.save());
});
