import type { TensorEntry } from '../../src/graph/program.ts';
import type { Objective } from '../../src/optim/run.ts';

/** Tensor table rows one after the other, without padding unless `offsets` are given. */
export function tensorTable(...shapes: readonly (readonly number[])[]): TensorEntry[] {
  let offset = 0;
  return shapes.map((shape, i) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const entry: TensorEntry = { name: `t${i}`, shape, size, offset, init: { kind: 'constant', value: 0 }, group: 0 };
    offset += Math.ceil(size / 16) * 16;
    return entry;
  });
}

/** sum (p - 1)^2 */
export const parabola: Objective = (p, grad) => {
  let loss = 0;
  for (let i = 0; i < p.length; i++) {
    const d = p[i] - 1;
    loss += d * d;
    if (grad) grad[i] = 2 * d;
  }
  return loss;
};

/** (1 - x)^2 + 100 (y - x^2)^2: a curved valley with its minimum at (1, 1). */
export const rosenbrock: Objective = (p, grad) => {
  const [x, y] = p;
  const bend = y - x * x;
  if (grad) {
    grad[0] = -2 * (1 - x) - 400 * x * bend;
    grad[1] = 200 * bend;
  }
  return (1 - x) ** 2 + 100 * bend ** 2;
};

/** Numbers in [-1, 1) by a counter (not for training: only to have test data). */
export function numbers(count: number, seed: number): number[] {
  let state = seed >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}
