import { z } from 'zod';
import type { FloatArray, OptimizerDef } from '../../../src/optim/contract.ts';

/** Muon (Jordan et al. 2024): the momentum of a matrix is made nearly orthogonal by five Newton-Schulz steps, in scratch memory. */
export const muon: OptimizerDef<{ momentum: number }> = {
  kind: 'muon',
  options: z.strictObject({ momentum: z.number().default(0.95) }),
  unit: 'tensor',
  slots: () => ({ momentum: {} }),
  scratch: ({ shape, size }) => (shape.length === 2 ? 2 * size + 2 * shape[0] * shape[0] : 0),
  scalarNames: ['gradScale', 'lr'],
  scalars({ lr, gradScale }, out) {
    out.set([gradScale, lr]);
  },
  update({ param, grad, slots, tensor, scratch }, s, { momentum }) {
    const m = slots.momentum;
    for (let i = 0; i < m.length; i++) m[i] = momentum * m[i] + s[0] * grad[i];
    const matrix = tensor.shape.length === 2 && scratch !== undefined;
    const direction = matrix ? orthogonal(m, grad, s[0], momentum, tensor.shape[0], scratch) : m;
    const step = matrix ? s[1] * Math.sqrt(Math.max(1, tensor.shape[0] / tensor.shape[1])) : s[1];
    for (let i = 0; i < param.length; i++) param[i] -= step * direction[i];
  },
};

/** X <- a X + (b A + c A^2) X with A = X X^T, from X = the Nesterov momentum divided by its norm. */
function orthogonal(
  m: FloatArray,
  grad: FloatArray,
  gradScale: number,
  momentum: number,
  rows: number,
  scratch: FloatArray,
) {
  const columns = m.length / rows;
  const x = scratch.subarray(0, m.length);
  const next = scratch.subarray(m.length, 2 * m.length);
  const a = scratch.subarray(2 * m.length, 2 * m.length + rows * rows);
  const b = scratch.subarray(2 * m.length + rows * rows, 2 * m.length + 2 * rows * rows);
  let squares = 0;
  for (let i = 0; i < m.length; i++) {
    x[i] = gradScale * grad[i] + momentum * m[i];
    squares += x[i] * x[i];
  }
  for (let i = 0; i < m.length; i++) x[i] /= Math.sqrt(squares) + 1e-7;
  for (let iteration = 0; iteration < 5; iteration++) {
    product(a, x, x, rows, columns, rows, true);
    product(b, a, a, rows, rows, rows, false);
    for (let i = 0; i < a.length; i++) b[i] = -4.775 * a[i] + 2.0315 * b[i];
    product(next, b, x, rows, rows, columns, false);
    for (let i = 0; i < x.length; i++) x[i] = 3.4445 * x[i] + next[i];
  }
  return x;
}

/** out [rows, columns] = left [rows, inner] right [inner, columns], or right^T of [columns, inner]. */
function product(
  out: FloatArray,
  left: FloatArray,
  right: FloatArray,
  rows: number,
  inner: number,
  columns: number,
  transposed: boolean,
): void {
  // biome-ignore format: one line reads better
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += left[i * inner + k] * right[transposed ? j * inner + k : k * columns + j];
      out[i * columns + j] = sum;
    }
  }
}
