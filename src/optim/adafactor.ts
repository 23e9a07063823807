/**
 * Adafactor: the second moment of a matrix kept as one mean for each row and one for each column.
 *
 *     beta2_t = 1 - t^-decayRate
 *     matrices [.., n, m]:  R <- beta2_t R + (1 - beta2_t) mean over columns of (g^2 + eps1);  C likewise over rows
 *                           v_ij = R_i C_j / mean(R)
 *     others:               v <- beta2_t v + (1 - beta2_t) (g^2 + eps1)
 *     u = g / sqrt(v);   u <- u / max(1, RMS(u) / clipThreshold)
 *     rate = lr, relativeStep: min(lr, 1 / sqrt(t));   times max(eps2, RMS(p)) with scaleParameter
 *     beta1 > 0:  m <- beta1 m + (1 - beta1) rate u, which then is the step
 *     p <- p (1 - lr weightDecay) - rate * u
 *
 * Paper: Shazeer & Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", arXiv:1804.04235, 2018.
 *
 * Defaults: lr 0.01, decayRate 0.8, eps [1e-30, 1e-3], clipThreshold 1, relativeStep true, scaleParameter true, beta1 0 (no
 * momentum), weightDecay 0: the paper's, with relative step size min(1e-2, 1/sqrt(t)).
 *
 * PyTorch >= 2.5 and optax follow the same rule: PyTorch takes eps1 as a floor of the mean instead of adding it; optax has no
 * relative step, asks for sides of 128 (`minDimension`, here 2), and does not multiply its decay by lr. Keras' Adafactor (lr 0.001)
 * keeps a full second moment beside the factored one, so it saves nothing, and takes RMS(p) after the decay. Tensors with more than two dimensions are factored over
 * their last two, as in the paper's code; optax takes the two longest.
 *
 * Traps: clipping by global norm changes little, because steps are relative to the parameters. Tensors at zero move only by eps2.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { notNegative, positive, unitInterval } from './common.ts';
import type { FloatArray, OptimizerDef, OptimizerDescription, SlotSpec } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface AdafactorOptions extends CommonOptions {
  /** Largest relative step. Default 0.01. */
  readonly lr?: LearningRate;
  /** Power of t in the decay of the second moment, > 0. Default 0.8. */
  readonly decayRate?: number;
  /** Added to squared gradients; smallest size of a parameter for its step. Default [1e-30, 1e-3]. */
  readonly eps?: readonly [number, number];
  /** Largest RMS of a step before it is scaled, > 0. Default 1. */
  readonly clipThreshold?: number;
  /** The step is at most 1 / sqrt(t). Default true. */
  readonly relativeStep?: boolean;
  /** Steps in proportion to the size of the tensor. Default true. */
  readonly scaleParameter?: boolean;
  /** Momentum of the steps, in [0, 1); 0: none, and no slot for it. Default 0. */
  readonly beta1?: number;
  /** Decoupled, >= 0. Default 0. */
  readonly weightDecay?: number;
  /** Matrices with a side below this keep a full second moment. Default 2. */
  readonly minDimension?: number;
}

const options = z.strictObject({
  decayRate: positive.default(0.8),
  eps: z.tuple([notNegative, notNegative]).default([1e-30, 1e-3]),
  clipThreshold: positive.default(1),
  relativeStep: z.boolean().default(true),
  scaleParameter: z.boolean().default(true),
  beta1: unitInterval.default(0),
  weightDecay: notNegative.default(0),
  minDimension: z.int().min(1).default(2),
});
type Resolved = z.output<typeof options>;

/** Rows, columns and number of the matrices that a tensor is factored into; undefined: it is not. */
function factors(shape: readonly number[], { minDimension }: Resolved) {
  if (shape.length < 2) return undefined;
  const [rows, columns] = shape.slice(-2);
  if (rows < minDimension || columns < minDimension) return undefined;
  return { rows, columns, count: shape.slice(0, -2).reduce((a, b) => a * b, 1) };
}

export const ADAFACTOR: OptimizerDef<Resolved> = {
  kind: 'adafactor',
  options,
  defaultLr: 0.01,
  unit: 'tensor',
  slots(options, { shape }): Record<string, SlotSpec> {
    const f = factors(shape, options);
    return {
      ...(options.beta1 > 0 && { m: {} }),
      ...(f ? { row: { shape: [f.count * f.rows] }, column: { shape: [f.count * f.columns] } } : { v: {} }),
    };
  },
  // 1 / sqrt of the factors, and the step of the whole tensor
  scratch({ shape, size }, options) {
    const f = factors(shape, options);
    return size + (f ? f.count * (f.rows + f.columns) : 0);
  },
  scalarNames: ['gradScale', 'lr', 'beta2', 'rate'],
  scalars({ step, lr, gradScale, options }, out) {
    out[0] = gradScale;
    out[1] = lr;
    out[2] = 1 - pow(step, -options.decayRate);
    out[3] = options.relativeStep ? Math.min(lr, 1 / Math.sqrt(step)) : lr;
  },
  update({ param, grad, slots, tensor, scratch = new Float32Array(0) }, s, options) {
    const { eps, clipThreshold, scaleParameter, beta1, weightDecay } = options;
    const size = param.length;
    const u = scratch.subarray(0, size);
    const f = factors(tensor.shape, options);
    if (f === undefined) divideFull(u, grad, slots.v, s, eps[0]);
    else divideFactored(u, grad, slots.row, slots.column, scratch.subarray(size), s, eps[0], f);

    let stepSquares = 0;
    let paramSquares = 0;
    for (let i = 0; i < size; i++) {
      stepSquares += u[i] * u[i];
      paramSquares += param[i] * param[i];
    }
    const scale = scaleParameter ? Math.max(eps[1], Math.sqrt(paramSquares / size)) : 1;
    const rate = (s[3] * scale) / Math.max(1, Math.sqrt(stepSquares / size) / clipThreshold);
    const keep = 1 - s[1] * weightDecay;
    const { m } = slots;
    for (let i = 0; i < size; i++) {
      let step = rate * u[i];
      if (m !== undefined) {
        step = beta1 * m[i] + (1 - beta1) * step;
        m[i] = step;
      }
      param[i] = keep * param[i] - step;
    }
  },
  compat: { keras: { lr: 0.001 }, optax: { relativeStep: false, minDimension: 128 } },
  about: {
    rule: 'g / sqrt(row mean x column mean of g^2), clipped, times the size of the tensor',
    when: 'very large models: the second moment of a matrix takes rows + columns numbers',
    limits: 'slower to converge than Adam; relative steps make lr hard to compare',
    paper: 'Shazeer & Stern, arXiv:1804.04235',
  },
};

function divideFull(u: FloatArray, grad: FloatArray, v: FloatArray, s: Float64Array, eps: number): void {
  for (let i = 0; i < u.length; i++) {
    const g = s[0] * grad[i];
    v[i] = s[2] * v[i] + (1 - s[2]) * (g * g + eps);
    u[i] = g / Math.sqrt(v[i]);
  }
}

function divideFactored(
  u: FloatArray,
  grad: FloatArray,
  row: FloatArray,
  column: FloatArray,
  roots: FloatArray,
  s: Float64Array,
  eps: number,
  { rows, columns, count }: { rows: number; columns: number; count: number },
): void {
  for (let c = 0; c < count; c++) {
    const [rowAt, columnAt, at] = [c * rows, c * columns, c * rows * columns];
    const rowRoots = roots.subarray(0, rows);
    const columnSums = roots.subarray(rows, rows + columns);
    columnSums.fill(0);
    let rowTotal = 0;
    for (let i = 0; i < rows; i++) {
      let sum = 0;
      for (let j = 0; j < columns; j++) {
        const g = s[0] * grad[at + i * columns + j];
        const square = g * g + eps;
        sum += square;
        columnSums[j] += square;
      }
      row[rowAt + i] = s[2] * row[rowAt + i] + (1 - s[2]) * (sum / columns);
      rowTotal += row[rowAt + i];
    }
    const rowMean = rowTotal / rows;
    for (let i = 0; i < rows; i++) rowRoots[i] = 1 / Math.sqrt(row[rowAt + i] / rowMean);
    for (let j = 0; j < columns; j++) {
      column[columnAt + j] = s[2] * column[columnAt + j] + (1 - s[2]) * (columnSums[j] / rows);
      columnSums[j] = 1 / Math.sqrt(column[columnAt + j]);
    }
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        const k = at + i * columns + j;
        u[k] = s[0] * grad[k] * rowRoots[i] * columnSums[j];
      }
    }
  }
}

/** Adam with a factored second moment. */
export const adafactor = (options: AdafactorOptions = {}): OptimizerDescription => describe(ADAFACTOR, options);
