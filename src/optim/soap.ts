/**
 * SOAP: Adam in the eigenbasis of Shampoo's matrices.
 *
 *     matrices G [n, m]:  L <- shampooBeta L + (1 - shampooBeta) G G^T,  R <- ... G^T G
 *                         every `interval` updates: eigenvectors U of L, V of R by one step of orthogonal iteration from those
 *                         before; at the first update by ten steps from the identity
 *                         M <- beta1 M + (1 - beta1) G;   G' = U^T G V,  M' = U^T M V
 *                         W <- beta2 W + (1 - beta2) G'^2;   N' = M'^ / (sqrt(W^) + eps);   p <- p - lr U N' V^T
 *     others:             Adam
 *     p <- p (1 - lr weightDecay) before
 *
 * Paper: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", arXiv:2409.11321, 2024.
 *
 * Defaults: lr 0.003, betas [0.95, 0.95], shampooBeta 0.95, eps 1e-8, interval 10, maxDimension 1024, weightDecay 0.01: the
 * authors'. A side longer than maxDimension (theirs: 10,000) keeps the identity.
 *
 * Against the authors' code: they take exact eigenvectors at the first update and leave that update out; here it is made, in the
 * basis of ten orthogonal iterations; directions in which there is no gradient yet keep their vectors. They sort the basis by eigenvalue at each refresh, together with W; orthogonal iteration
 * keeps the order by itself once it has found it.
 *
 * Traps: state: three vectors and 2 n^2 + 2 m^2 numbers a matrix, and four products a step. W belongs to a basis that moves a
 * little every `interval`. A matrix is updated by one worker.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { betas, eps, notNegative, unitInterval } from './common.ts';
import type { FloatArray, OptimizerDef, OptimizerDescription, SlotSpec, View } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';
import { orthonormaliseRows } from './matrix-roots.ts';
import { matrixOf } from './shampoo.ts';

export interface SoapOptions extends CommonOptions {
  /** Default 0.003. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.95, 0.95]. */
  readonly betas?: readonly [number, number];
  /** Decay of the matrices, in [0, 1). Default 0.95. */
  readonly shampooBeta?: number;
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** Updates between two refreshments of the basis, >= 1. Default 10. */
  readonly interval?: number;
  /** Longest side that gets a matrix, >= 1. Default 1024. */
  readonly maxDimension?: number;
  /** Decoupled, >= 0. Default 0.01. */
  readonly weightDecay?: number;
}

const options = z.strictObject({
  betas: betas(0.95, 0.95),
  shampooBeta: unitInterval.default(0.95),
  eps: eps(1e-8),
  interval: z.int().min(1).default(10),
  maxDimension: z.int().min(1).default(1024),
  weightDecay: notNegative.default(0.01),
});
type Resolved = z.output<typeof options>;

/** Steps of orthogonal iteration that the first basis takes. */
const FIRST_ITERATIONS = 10;

export const SOAP: OptimizerDef<Resolved> = {
  kind: 'soap',
  options,
  defaultLr: 0.003,
  unit: 'tensor',
  slots({ maxDimension }, { shape }): Record<string, SlotSpec> {
    const { rows, columns, left, right } = matrixOf(shape, maxDimension);
    return {
      m: {},
      v: {},
      ...(left && { left: { shape: [rows, rows] }, leftBasis: { shape: [rows, rows] } }),
      ...(right && { right: { shape: [columns, columns] }, rightBasis: { shape: [columns, columns] } }),
    };
  },
  scratch({ shape, size }, { maxDimension }) {
    const { rows, columns, left, right } = matrixOf(shape, maxDimension);
    const side = Math.max(left ? rows : 0, right ? columns : 0);
    return 3 * size + side * side;
  },
  cost({ shape, size }, { maxDimension, interval }) {
    const { rows, columns, left, right } = matrixOf(shape, maxDimension);
    const side = (n: number): number => (8 * n * size) / 10 + (6 * n ** 3) / interval;
    return 40 * size + (left ? side(rows) : 0) + (right ? side(columns) : 0);
  },
  scalarNames: ['gradScale', 'lr', 'stepSize', 'invSqrtBias2', 'iterations', 'first'],
  scalars({ step, lr, gradScale, options: { betas, interval } }, out) {
    out[0] = gradScale;
    out[1] = lr;
    out[2] = lr / (1 - pow(betas[0], step));
    out[3] = 1 / Math.sqrt(1 - pow(betas[1], step));
    out[4] = step === 1 ? FIRST_ITERATIONS : (step - 1) % interval === 0 ? 1 : 0;
    out[5] = step === 1 ? 1 : 0;
  },
  update(view, s, options) {
    const { param, grad, slots, tensor, gemm, scratch = new Float32Array(0) } = view;
    const size = param.length;
    const [g, rotated, spare] = [0, 1, 2].map((i) => scratch.subarray(i * size, (i + 1) * size));
    const work = scratch.subarray(3 * size);
    const { rows, columns, left, right } = matrixOf(tensor.shape, options.maxDimension);
    const { m, v } = slots;
    const [beta1, beta2] = options.betas;
    for (let i = 0; i < size; i++) {
      g[i] = s[0] * grad[i];
      m[i] += (1 - beta1) * (g[i] - m[i]);
    }
    if (left) {
      gemm(0, 1, rows, rows, columns, g, g, 0, work.subarray(0, rows * rows));
      follow(view, slots.left, slots.leftBasis, work, rows, options.shampooBeta, s);
    }
    if (right) {
      gemm(1, 0, columns, columns, rows, g, g, 0, work.subarray(0, columns * columns));
      follow(view, slots.right, slots.rightBasis, work, columns, options.shampooBeta, s);
    }
    // Rows of a basis are its vectors: U^T is the basis as it lies.
    const rotate = (x: FloatArray, back: 0 | 1): FloatArray => {
      let y = x;
      if (left) {
        gemm(back, 0, rows, columns, rows, slots.leftBasis, y, 0, spare);
        y = spare;
      }
      if (!right) return y;
      gemm(0, back === 1 ? 0 : 1, rows, columns, columns, y, slots.rightBasis, 0, rotated);
      return rotated;
    };
    const inBasis = rotate(g, 0);
    for (let i = 0; i < size; i++) v[i] = beta2 * v[i] + (1 - beta2) * inBasis[i] * inBasis[i];
    const mean = rotate(m, 0);
    for (let i = 0; i < size; i++) g[i] = (s[2] * mean[i]) / (Math.sqrt(v[i]) * s[3] + options.eps);
    const step = rotate(g, 1);
    const keep = 1 - s[1] * options.weightDecay;
    for (let i = 0; i < size; i++) param[i] = keep * param[i] - step[i];
  },
  about: {
    rule: "Adam in the eigenbasis of Shampoo's matrices",
    when: 'where Shampoo helps: as good, with fewer options to tune and rarer matrix work',
    limits: 'memory and time of the matrices; a matrix is updated by one worker',
    paper: 'Vyas et al., arXiv:2409.11321',
  },
};

/** Adds a product to its running mean; where it is due, turns the basis towards the mean's eigenvectors. */
function follow(
  { gemm }: View,
  mean: FloatArray,
  basis: FloatArray,
  product: FloatArray,
  n: number,
  beta: number,
  s: Float64Array,
): void {
  let trace = 0;
  for (let i = 0; i < mean.length; i++) mean[i] = beta * mean[i] + (1 - beta) * product[i];
  if (s[4] === 0) return;
  for (let i = 0; i < n; i++) trace += mean[i * (n + 1)];
  if (s[5] === 1) for (let i = 0; i < basis.length; i++) basis[i] = i % (n + 1) === 0 ? 1 : 0;
  // A little of the identity keeps directions without gradient where they are.
  const ridge = (1e-6 * trace) / n + 1e-30;
  const turned = product.subarray(0, n * n);
  for (let iteration = 0; iteration < s[4]; iteration++) {
    for (let i = 0; i < turned.length; i++) turned[i] = ridge * basis[i];
    gemm(0, 0, n, n, n, basis, mean, 1, turned);
    orthonormaliseRows(turned, basis, n);
    basis.set(turned);
  }
}

/** Adam in the eigenbasis of Shampoo. */
export const soap = (options: SoapOptions = {}): OptimizerDescription => describe(SOAP, options);
