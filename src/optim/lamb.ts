/**
 * LAMB: Adam's step, scaled for each tensor to the size of the tensor.
 *
 *     m, v as in Adam;   u = m^ / (sqrt(v^) + eps) + weightDecay * p
 *     p <- p - lr * min(|p| / |u|, maxTrust) * u            (|p| or |u| zero: factor 1)
 *     decoupled: the decay is no part of u;  p <- p (1 - lr weightDecay) before
 *
 * Paper: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", arXiv:1904.00962, 2019.
 *
 * Defaults: lr 0.001, betas [0.9, 0.999], eps 1e-6, weightDecay 0, maxTrust infinite, biasCorrection true (algorithm 2; optax has the
 * same). Keras: epsilon 1e-7, decay decoupled. PyTorch has none; NVIDIA's LAMB clips the gradient by its global norm first: use `clip`.
 *
 * Traps: lr is relative to the size of a tensor, so 0.001 means 0.1 % of it a step. Biases and norms are commonly left out:
 * groups cannot switch the factor off, but noDecay takes their decay away.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { betas, decay, eps, positive } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface LambOptions extends CommonOptions {
  /** Default 0.001. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-6. */
  readonly eps?: number;
  /** Part of the scaled step, >= 0. Default 0. */
  readonly weightDecay?: number;
  /** The decay stays out of the scaled step (Keras). Default false. */
  readonly decoupled?: boolean;
  /** Largest factor, > 0. Default: no limit. */
  readonly maxTrust?: number;
  /** Default true. */
  readonly biasCorrection?: boolean;
}

const options = z.strictObject({
  betas: betas(0.9, 0.999),
  eps: eps(1e-6),
  ...decay(0, false),
  maxTrust: positive.optional(),
  biasCorrection: z.boolean().default(true),
});

export const LAMB: OptimizerDef<z.output<typeof options>> = {
  kind: 'lamb',
  options,
  defaultLr: 0.001,
  unit: 'tensor',
  slots: () => ({ m: {}, v: {} }),
  scalarNames: ['gradScale', 'lr', 'invBias1', 'invSqrtBias2', 'keep'],
  scalars({ step, lr, gradScale, options: { betas, biasCorrection, weightDecay, decoupled } }, out) {
    out[0] = gradScale;
    out[1] = lr;
    out[2] = biasCorrection ? 1 / (1 - pow(betas[0], step)) : 1;
    out[3] = biasCorrection ? 1 / Math.sqrt(1 - pow(betas[1], step)) : 1;
    out[4] = decoupled ? 1 - lr * weightDecay : 1;
  },
  update({ param, grad, slots: { m, v } }, s, { betas, eps, decoupled, ...options }) {
    const { maxTrust = Number.POSITIVE_INFINITY } = options;
    const weightDecay = decoupled ? 0 : options.weightDecay;
    const [beta1, beta2] = betas;
    let paramSquares = 0;
    let stepSquares = 0;
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i];
      m[i] += (1 - beta1) * (g - m[i]);
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      if (s[4] !== 1) param[i] *= s[4];
      const u = (m[i] * s[2]) / (Math.sqrt(v[i]) * s[3] + eps) + weightDecay * param[i];
      paramSquares += param[i] * param[i];
      stepSquares += u * u;
    }
    const trust = paramSquares > 0 && stepSquares > 0 ? Math.min(Math.sqrt(paramSquares / stepSquares), maxTrust) : 1;
    const step = s[1] * trust;
    for (let i = 0; i < param.length; i++) {
      param[i] -= step * ((m[i] * s[2]) / (Math.sqrt(v[i]) * s[3] + eps) + weightDecay * param[i]);
    }
  },
  compat: { keras: { eps: 1e-7, decoupled: true }, optax: {} },
  about: {
    rule: "p <- p - lr |p| / |u| u for each tensor, u Adam's direction",
    when: 'very large batches (thousands of rows): keeps the relative change of every layer alike',
    limits: 'no gain for small batches; whole tensors, so few large ones spread badly over workers',
    paper: 'You et al., arXiv:1904.00962',
  },
};

/** Adam with steps in proportion to each tensor. */
export const lamb = (options: LambOptions = {}): OptimizerDescription => describe(LAMB, options);
