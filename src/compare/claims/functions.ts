import type { TensorEntry } from '../../graph/program.ts';
import { cos, sin } from '../../kernels/math.ts';
import { resolveOptimizer } from '../../optim/catalogue.ts';
import type { FloatArray, OptimizerDescription } from '../../optim/contract.ts';
import { type Objective, runOptimizer } from '../../optim/run.ts';
import { lrAt } from '../../optim/schedules.ts';

/** A function of two variables to draw paths on. */
export interface Landscape {
  readonly name: string;
  readonly formula: string;
  readonly start: readonly [number, number];
  readonly minima: readonly (readonly [number, number])[];
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
  readonly value: Objective;
}

/** A table of one tensor: what `runOptimizer` wants. */
export function oneTensor(size: number): TensorEntry[] {
  return [{ name: 'x', shape: [size], size, offset: 0, init: { kind: 'constant', value: 0 }, group: 0 }];
}

/** Runs an optimizer on a function in double precision; `visit` sees the parameters after each step and may end it. */
export function descend(
  description: OptimizerDescription,
  objective: Objective,
  start: readonly number[],
  steps: number,
  visit: (params: FloatArray, step: number) => boolean | undefined = () => undefined,
): Float64Array {
  const { def, options, schedule } = resolveOptimizer(description);
  const params = Float64Array.from(start);
  const run = runOptimizer(def, options, oneTensor(start.length), params);
  for (let step = 1; step <= steps; step++) {
    run.step(objective, lrAt(schedule, step, steps));
    if (visit(params, step)) break;
  }
  return params;
}

/** (1 - x)^2 + 100 (y - x^2)^2. */
export const rosenbrock: Objective = (p, grad) => {
  const [x, y] = p;
  const bend = y - x * x;
  if (grad) {
    grad[0] = -2 * (1 - x) - 400 * x * bend;
    grad[1] = 200 * bend;
  }
  return (1 - x) * (1 - x) + 100 * bend * bend;
};

const beale: Objective = (p, grad) => {
  const [x, y] = p;
  const y2 = y * y;
  const y3 = y2 * y;
  const a = 1.5 - x + x * y;
  const b = 2.25 - x + x * y2;
  const c = 2.625 - x + x * y3;
  if (grad) {
    grad[0] = 2 * (a * (y - 1) + b * (y2 - 1) + c * (y3 - 1));
    grad[1] = 2 * x * (a + 2 * b * y + 3 * c * y2);
  }
  return a * a + b * b + c * c;
};

const himmelblau: Objective = (p, grad) => {
  const [x, y] = p;
  const a = x * x + y - 11;
  const b = x + y * y - 7;
  if (grad) {
    grad[0] = 4 * a * x + 2 * b;
    grad[1] = 2 * a + 4 * b * y;
  }
  return a * a + b * b;
};

const rastrigin: Objective = (p, grad) => {
  let value = 20;
  for (let i = 0; i < 2; i++) {
    value += p[i] * p[i] - 10 * cos(2 * Math.PI * p[i]);
    if (grad) grad[i] = 2 * p[i] + 20 * Math.PI * sin(2 * Math.PI * p[i]);
  }
  return value;
};

export const LANDSCAPES: readonly Landscape[] = [
  {
    name: 'Rosenbrock',
    formula: '(1 - x)² + 100 (y - x²)²',
    start: [-1.2, 1],
    minima: [[1, 1]],
    x: [-2, 2],
    y: [-1, 3],
    value: rosenbrock,
  },
  {
    name: 'Beale',
    formula: '(1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)²',
    start: [1, 1.5],
    minima: [[3, 0.5]],
    x: [-1, 4],
    y: [-2, 2],
    value: beale,
  },
  {
    name: 'Himmelblau',
    formula: '(x² + y - 11)² + (x + y² - 7)²',
    start: [-0.3, -0.5],
    minima: [
      [3, 2],
      [-2.805118, 3.131312],
      [-3.77931, -3.283186],
      [3.584428, -1.848126],
    ],
    x: [-5, 5],
    y: [-5, 5],
    value: himmelblau,
  },
  {
    name: 'Rastrigin',
    formula: '20 + x² + y² - 10 cos 2πx - 10 cos 2πy',
    start: [2.3, 1.6],
    minima: [[0, 0]],
    x: [-3, 3],
    y: [-3, 3],
    value: rastrigin,
  },
];
