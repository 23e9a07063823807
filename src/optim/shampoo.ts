/**
 * Shampoo: AdaGrad with full matrices for the rows and for the columns of a weight.
 *
 *     matrices G [n, m]:  L <- beta2 L + (1 - beta2) G G^T,  R <- beta2 R + (1 - beta2) G^T G     (beta2 = 1: sums, as in the paper)
 *                         every `interval` updates, beginning with the first:  P = (L + eps tr(L)/n I)^(-1/4),  Q likewise of R
 *                         D = P G Q          (one side longer than maxDimension: only the other, with power -1/2)
 *     others (and matrices with both sides too long):  D = G / (sqrt(v) + eps),  v the running mean of G^2
 *     graft:  D <- D |G / (sqrt(v) + eps)| / |D|            (the length of an RMSprop step; 'none': as it is)
 *     m <- beta1 m + (1 - beta1) D;   p <- p (1 - lr weightDecay) - lr m
 *
 * Paper: Gupta, Koren & Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization", arXiv:1802.09568, 2018; grafting and
 * delayed roots: Anil et al., "Scalable Second Order Optimization for Deep Learning", arXiv:2002.09018, 2020.
 *
 * Defaults: lr 0.001, betas [0.9, 0.99], eps 1e-6, interval 10, maxDimension 1024, graft 'rmsprop', weightDecay 0. The means
 * are divided by 1 - beta2^t. Tensors with more than two dimensions are taken as matrices [all but the last, last]. Neither
 * PyTorch, Keras nor optax has it; the papers' code computes the roots from eigenvalues or in f64.
 *
 * Traps: state and cost: n^2 + m^2 numbers, twice, and about twenty products of these matrices each `interval`. In f32 the roots
 * are good to about 1e-3 where L is badly conditioned; eps is the remedy. A matrix is updated by one worker.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { eps, notNegative, unitInterval } from './common.ts';
import type { FloatArray, OptimizerDef, OptimizerDescription, SlotSpec, View } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';
import { inverseRoot, rootScratch } from './matrix-roots.ts';

export interface ShampooOptions extends CommonOptions {
  /** Default 0.001. */
  readonly lr?: LearningRate;
  /** Momentum in [0, 1); decay of the matrices in [0, 1], 1 for sums. Default [0.9, 0.99]. */
  readonly betas?: readonly [number, number];
  /** Share of the mean eigenvalue that is added, > 0. Default 1e-6. */
  readonly eps?: number;
  /** Updates between two computations of the roots, >= 1. Default 10. */
  readonly interval?: number;
  /** Longest side that gets a matrix, >= 1. Default 1024. */
  readonly maxDimension?: number;
  /** Default 'rmsprop'. */
  readonly graft?: 'rmsprop' | 'none';
  /** Decoupled, >= 0. Default 0. */
  readonly weightDecay?: number;
}

const options = z.strictObject({
  betas: z.tuple([unitInterval, z.number().min(0).max(1)]).default([0.9, 0.99]),
  eps: eps(1e-6),
  interval: z.int().min(1).default(10),
  maxDimension: z.int().min(1).default(1024),
  graft: z.enum(['rmsprop', 'none']).default('rmsprop'),
  weightDecay: notNegative.default(0),
});
type Resolved = z.output<typeof options>;

/** A tensor as a matrix, with the sides that get a matrix of their own. */
export function matrixOf(shape: readonly number[], maxDimension: number) {
  const columns = shape.at(-1) ?? 1;
  const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const matrix = shape.length >= 2 && rows > 1 && columns > 1;
  return { rows, columns, left: matrix && rows <= maxDimension, right: matrix && columns <= maxDimension };
}

export const SHAMPOO: OptimizerDef<Resolved> = {
  kind: 'shampoo',
  options,
  defaultLr: 0.001,
  unit: 'tensor',
  slots({ maxDimension, graft }, { shape }): Record<string, SlotSpec> {
    const { rows, columns, left, right } = matrixOf(shape, maxDimension);
    return {
      m: {},
      ...((graft === 'rmsprop' || !(left || right)) && { v: {} }),
      ...(left && { left: { shape: [rows, rows] }, leftRoot: { shape: [rows, rows] } }),
      ...(right && { right: { shape: [columns, columns] }, rightRoot: { shape: [columns, columns] } }),
    };
  },
  scratch({ shape, size }, { maxDimension }) {
    const { rows, columns, left, right } = matrixOf(shape, maxDimension);
    return 3 * size + rootScratch(Math.max(left ? rows : 0, right ? columns : 0));
  },
  cost({ shape, size }, { maxDimension, interval }) {
    const { rows, columns, left, right } = matrixOf(shape, maxDimension);
    const side = (n: number): number => (4 * n * size) / 10 + (20 * 8 * n ** 3) / (10 * interval);
    return 40 * size + (left ? side(rows) : 0) + (right ? side(columns) : 0);
  },
  scalarNames: ['gradScale', 'lr', 'keep', 'gain', 'correction', 'refresh'],
  scalars({ step, lr, gradScale, options: { betas, interval } }, out) {
    const sums = betas[1] === 1;
    out[0] = gradScale;
    out[1] = lr;
    out[2] = betas[1];
    out[3] = sums ? 1 : 1 - betas[1];
    out[4] = sums ? 1 : 1 / (1 - pow(betas[1], step));
    out[5] = (step - 1) % interval === 0 ? 1 : 0;
  },
  update(view, s, options) {
    const { param, grad, slots, tensor, gemm, scratch = new Float32Array(0) } = view;
    const size = param.length;
    const [g, d, spare] = [0, 1, 2].map((i) => scratch.subarray(i * size, (i + 1) * size));
    const work = scratch.subarray(3 * size);
    const { rows, columns, left, right } = matrixOf(tensor.shape, options.maxDimension);
    for (let i = 0; i < size; i++) g[i] = s[0] * grad[i];
    let length = 0; // of the step that is grafted on
    const { v } = slots;
    if (v !== undefined) {
      for (let i = 0; i < size; i++) {
        v[i] = s[2] * v[i] + s[3] * g[i] * g[i];
        d[i] = g[i] / (Math.sqrt(v[i] * s[4]) + options.eps);
        length += d[i] * d[i];
      }
    }
    if (left || right) {
      const power = left && right ? 4 : 2;
      if (left) {
        gemm(0, 1, rows, rows, columns, g, g, 0, work.subarray(0, rows * rows));
        accumulate(slots.left, work, s);
        if (s[5] === 1) root(view, slots.leftRoot, slots.left, rows, power, s[4], options.eps, work);
        gemm(0, 0, rows, columns, rows, slots.leftRoot, g, 0, right ? spare : d);
      }
      if (right) {
        gemm(1, 0, columns, columns, rows, g, g, 0, work.subarray(0, columns * columns));
        accumulate(slots.right, work, s);
        if (s[5] === 1) root(view, slots.rightRoot, slots.right, columns, power, s[4], options.eps, work);
        gemm(0, 0, rows, columns, columns, left ? spare : g, slots.rightRoot, 0, d);
      }
    }
    const factor = (left || right) && v !== undefined ? graftFactor(d, length) : 1;
    const { m } = slots;
    const keep = 1 - s[1] * options.weightDecay;
    for (let i = 0; i < size; i++) {
      m[i] = options.betas[0] * m[i] + (1 - options.betas[0]) * factor * d[i];
      param[i] = keep * param[i] - s[1] * m[i];
    }
  },
  about: {
    rule: 'p <- p - lr L^(-1/4) G R^(-1/4), L and R running means of G G^T and G^T G',
    when: 'few, expensive steps: large batches, deep networks; won the AlgoPerf benchmark with tuned training',
    limits: 'memory and time of the matrices; a matrix is updated by one worker; sides above maxDimension are left out',
    paper: 'Gupta, Koren & Singer, arXiv:1802.09568; Anil et al., arXiv:2002.09018',
  },
};

function accumulate(mean: FloatArray, product: FloatArray, s: Float64Array): void {
  for (let i = 0; i < mean.length; i++) mean[i] = s[2] * mean[i] + s[3] * product[i];
}

/** The root of the corrected mean, with a share of its mean eigenvalue added. */
function root(
  { gemm }: View,
  out: FloatArray,
  mean: FloatArray,
  n: number,
  power: 2 | 4,
  correction: number,
  eps: number,
  work: FloatArray,
): void {
  let trace = 0;
  for (let i = 0; i < n; i++) trace += mean[i * (n + 1)];
  inverseRoot(gemm, out, mean, n, power, (eps * trace) / n + 1e-30, work);
  const scale = pow(correction, -1 / power);
  for (let i = 0; i < out.length; i++) out[i] *= scale;
}

function graftFactor(d: FloatArray, squares: number): number {
  let own = 0;
  for (let i = 0; i < d.length; i++) own += d[i] * d[i];
  return own > 0 ? Math.sqrt(squares / own) : 0;
}

/** AdaGrad with matrices for rows and columns. */
export const shampoo = (options: ShampooOptions = {}): OptimizerDescription => describe(SHAMPOO, options);
