import { describe, expect, test } from 'vitest';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import {
  adagrad,
  adam,
  adamw,
  momentum,
  nesterov,
  type OptimizerDescription,
  rmsprop,
  sgd,
} from '../../src/optim/index.ts';
import { type Objective, runOptimizer } from '../../src/optim/run.ts';
import { parabola, rosenbrock, tensorTable } from './vectors.ts';

/** One table for all, as optax has it: on both functions within 3e-2 of the minimum in 10,000 steps. */
const TABLE: readonly OptimizerDescription[] = [
  sgd({ lr: 1e-3 }),
  momentum({ lr: 1e-3 }),
  nesterov({ lr: 1e-3 }),
  adagrad({ lr: 1 }),
  rmsprop({ lr: 5e-3 }),
  rmsprop({ lr: 5e-3, momentum: 0.5, centered: true, eps: 1e-2 }),
  adam({ lr: 1e-2 }),
  adamw({ lr: 1e-2, weightDecay: 1e-4 }),
];
const FUNCTIONS: readonly { name: string; objective: Objective; start: number[] }[] = [
  { name: 'parabola', objective: parabola, start: [-1, 10] },
  { name: 'Rosenbrock', objective: rosenbrock, start: [-1.2, 1] },
];

describe.each(FUNCTIONS)('$name', ({ objective, start }) => {
  test.each(TABLE)('$kind reaches the minimum: %o', (description) => {
    const { def, options, schedule } = resolveOptimizer(description);
    const run = runOptimizer(def, options, tensorTable([2]), Float64Array.from(start));
    const first = objective(run.params);
    for (let t = 0; t < 10_000; t++) run.step(objective, Number(schedule));
    expect(Math.hypot(run.params[0] - 1, run.params[1] - 1)).toBeLessThanOrEqual(3e-2);
    expect(objective(run.params)).toBeLessThan(first / 1000);
  });
});

test('an elementwise update gives the same bits however the tensor is cut into blocks', () => {
  const noise: Objective = (p, grad) => {
    grad?.forEach((_, i) => {
      grad[i] = Math.fround(p[i] * ((i % 7) - 3) + 0.1 * i);
    });
    return 0;
  };
  for (const description of TABLE) {
    const { def, options, schedule } = resolveOptimizer(description);
    const ends = [1, 5, 64, 1000].map((blockSize) => {
      const params = Float32Array.from({ length: 112 }, (_, i) => i / 50 - 1);
      const run = runOptimizer(def, options, tensorTable([5, 9], [64]), params, blockSize);
      for (let t = 0; t < 5; t++) run.step(noise, Number(schedule) / 100);
      return [...run.params];
    });
    expect(ends[0].every((x, i) => x !== Math.fround(i / 50 - 1) || i >= 45)).toBe(true);
    for (const end of ends) expect(end).toEqual(ends[0]);
  }
});
