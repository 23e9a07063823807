/**
 * LARS: SGD with momentum, each tensor at a rate in proportion to |p| / |g|.
 *
 *     local = trustCoefficient * |p| / (|g_t| + weightDecay * |p| + eps)      (1 for tensors of one dimension, and where |p| or |g| is 0)
 *     decayInNorm:  local = trustCoefficient * |p| / (|g_t + weightDecay * p| + eps)
 *     b <- momentum * b + lr * local * (g_t + weightDecay * p);   p <- p - b
 *     lrInMomentum false:  b <- momentum * b + local * (g_t + weightDecay * p);   p <- p - lr * b
 *     nesterov:  p <- p - (momentum * b + what was added to b)
 *
 * Paper: You, Gitman & Ginsburg, "Large Batch Training of Convolutional Networks", arXiv:1708.03888, 2017.
 *
 * Defaults: momentum 0.9, weightDecay 0, trustCoefficient 0.001, eps 0, nesterov false, skipVectors true (biases and norms take
 * plain momentum without decay, as in the MLPerf reference), lrInMomentum true (the paper's; optax's lars has lr inside too).
 * lr has no default. optax: skipVectors false, decayInNorm true. Neither PyTorch nor Keras has it.
 *
 * Traps: lr is of another scale than SGD's: 1 to 30 with trustCoefficient 0.001. Needs a warm-up.
 */
import { z } from 'zod';
import { notNegative, positive, unitInterval } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface LarsOptions extends CommonOptions {
  readonly lr: LearningRate;
  /** In [0, 1). Default 0.9. */
  readonly momentum?: number;
  /** >= 0. Default 0. */
  readonly weightDecay?: number;
  /** > 0. Default 0.001. */
  readonly trustCoefficient?: number;
  /** >= 0. Default 0. */
  readonly eps?: number;
  /** Default false. */
  readonly nesterov?: boolean;
  /** Tensors of one dimension are updated by plain momentum, without decay. Default true. */
  readonly skipVectors?: boolean;
  /** Default true. */
  readonly lrInMomentum?: boolean;
  /** The norm is that of gradient and decay together (optax) instead of the sum of both norms. Default false. */
  readonly decayInNorm?: boolean;
}

const options = z.strictObject({
  momentum: unitInterval.default(0.9),
  weightDecay: notNegative.default(0),
  trustCoefficient: positive.default(0.001),
  eps: notNegative.default(0),
  nesterov: z.boolean().default(false),
  skipVectors: z.boolean().default(true),
  lrInMomentum: z.boolean().default(true),
  decayInNorm: z.boolean().default(false),
});

export const LARS: OptimizerDef<z.output<typeof options>> = {
  kind: 'lars',
  options,
  unit: 'tensor',
  slots: () => ({ momentum: {} }),
  scalarNames: ['gradScale', 'lr'],
  scalars({ lr, gradScale }, out) {
    out[0] = gradScale;
    out[1] = lr;
  },
  update({ param, grad, slots: { momentum: buffer }, tensor }, s, options) {
    const plain = options.skipVectors && tensor.shape.length <= 1;
    const weightDecay = plain ? 0 : options.weightDecay;
    const { momentum, nesterov } = options;
    const local = plain ? 1 : trust(param, grad, s[0], options);
    const gain = options.lrInMomentum ? s[1] * local : local;
    const outStep = options.lrInMomentum ? 1 : s[1];
    for (let i = 0; i < param.length; i++) {
      const added = gain * (s[0] * grad[i] + weightDecay * param[i]);
      buffer[i] = momentum * buffer[i] + added;
      param[i] -= outStep * (nesterov ? momentum * buffer[i] + added : buffer[i]);
    }
  },
  compat: { optax: { skipVectors: false, decayInNorm: true } },
  about: {
    rule: 'momentum at rate lr trust |p| / |g| for each tensor',
    when: 'very large batches in convolutional networks',
    limits: 'no gain for small batches; needs warm-up and an lr of its own scale',
    paper: 'You, Gitman & Ginsburg, arXiv:1708.03888',
  },
};

function trust(
  param: ArrayLike<number>,
  grad: ArrayLike<number>,
  gradScale: number,
  { trustCoefficient, weightDecay, eps, decayInNorm }: z.output<typeof options>,
): number {
  let paramSquares = 0;
  let gradSquares = 0;
  for (let i = 0; i < param.length; i++) {
    const g = gradScale * grad[i] + (decayInNorm ? weightDecay * param[i] : 0);
    paramSquares += param[i] * param[i];
    gradSquares += g * g;
  }
  if (paramSquares === 0 || gradSquares === 0) return 1;
  const size = Math.sqrt(paramSquares);
  return (trustCoefficient * size) / (Math.sqrt(gradSquares) + (decayInNorm ? 0 : weightDecay * size) + eps);
}

/** Momentum with rates in proportion to each tensor. */
export const lars = (options: LarsOptions): OptimizerDescription => describe(LARS, options);
