import { z } from 'zod';
import { pow } from '../../../src/kernels/math.ts';
import type { FloatArray, OptimizerDef, SlotSpec } from '../../../src/optim/contract.ts';

/** Adafactor (Shazeer & Stern 2018): a matrix keeps row and column means of its squared gradient, slots of their own shape. */
export const adafactor: OptimizerDef<{ clip: number; minScale: number }> = {
  kind: 'adafactor',
  options: z.strictObject({ clip: z.number().default(1), minScale: z.number().default(1e-3) }),
  unit: 'tensor',
  slots(_, { shape }): Record<string, SlotSpec> {
    const [rows, columns] = shape;
    return shape.length === 2 ? { row: { shape: [rows] }, column: { shape: [columns] } } : { v: {} };
  },
  scalarNames: ['gradScale', 'lr', 'beta2'],
  scalars({ step, lr, gradScale }, out) {
    out.set([gradScale, lr, 1 - pow(step, -0.8)]);
  },
  update({ param, grad, slots: { row, column, v }, tensor }, s, { clip, minScale }) {
    const width = row === undefined ? 1 : tensor.shape[1];
    const height = param.length / width;
    const square = (i: number): number => (s[0] * grad[i]) ** 2 + 1e-30;
    if (row === undefined) for (let i = 0; i < height; i++) v[i] = s[2] * v[i] + (1 - s[2]) * square(i);
    else {
      for (let i = 0; i < height; i++) row[i] *= s[2];
      for (let j = 0; j < width; j++) column[j] *= s[2];
      for (let i = 0; i < param.length; i++) {
        row[Math.floor(i / width)] += ((1 - s[2]) * square(i)) / width;
        column[i % width] += ((1 - s[2]) * square(i)) / height;
      }
    }
    const rowMean = row === undefined ? 1 : mean(row);
    const second = (i: number): number =>
      row === undefined ? v[i] : (row[Math.floor(i / width)] * column[i % width]) / rowMean;
    let updateSquares = 0;
    let paramSquares = 0;
    for (let i = 0; i < param.length; i++) {
      updateSquares += square(i) / second(i);
      paramSquares += param[i] * param[i];
    }
    const scale = Math.max(minScale, Math.sqrt(paramSquares / param.length));
    const step = (s[1] * scale) / Math.max(1, Math.sqrt(updateSquares / param.length) / clip);
    for (let i = 0; i < param.length; i++) param[i] -= (step * s[0] * grad[i]) / Math.sqrt(second(i));
  },
};

function mean(values: FloatArray): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
