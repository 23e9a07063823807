/**
 * NovoGrad: one second moment for each tensor, and momentum of the normalised gradient.
 *
 *     v <- beta2 * v + (1 - beta2) * |g_t|^2                (first update: v = |g_t|^2)
 *     m <- beta1 * m + g_t / (sqrt(v) + eps) + weightDecay * p        (gradAveraging: the sum times 1 - beta1)
 *     p <- p - lr * m                                       (first update: m is what is added)
 *
 * Paper: Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive Moments", arXiv:1905.11286, 2019.
 *
 * Defaults: lr 0.01, betas [0.95, 0.98], eps 1e-8, weightDecay 0, gradAveraging false: the paper's. optax: the same rule, betas 0.9,
 * 0.25, eps 1e-6, no default lr. Neither PyTorch nor Keras has it.
 *
 * Traps: one number a tensor: tensors with very uneven gradients get plain momentum. weightDecay enters after the division, so
 * it is larger than an L2 penalty.
 */
import { z } from 'zod';
import { betas, eps, notNegative } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface NovogradOptions extends CommonOptions {
  /** Default 0.01. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.95, 0.98]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** >= 0. Default 0. */
  readonly weightDecay?: number;
  /** Default false. */
  readonly gradAveraging?: boolean;
}

const options = z.strictObject({
  betas: betas(0.95, 0.98),
  eps: eps(1e-8),
  weightDecay: notNegative.default(0),
  gradAveraging: z.boolean().default(false),
});

export const NOVOGRAD: OptimizerDef<z.output<typeof options>> = {
  kind: 'novograd',
  options,
  defaultLr: 0.01,
  unit: 'tensor',
  slots: () => ({ m: {}, v: { shape: [1] } }),
  scalarNames: ['gradScale', 'lr', 'beta2'],
  scalars({ step, lr, gradScale, options }, out) {
    out[0] = gradScale;
    out[1] = lr;
    out[2] = step === 1 ? 0 : options.betas[1];
  },
  update({ param, grad, slots: { m, v } }, s, { betas, eps, weightDecay, gradAveraging }) {
    let squares = 0;
    for (let i = 0; i < grad.length; i++) {
      const g = s[0] * grad[i];
      squares += g * g;
    }
    v[0] = s[2] * v[0] + (1 - s[2]) * squares;
    const scale = s[0] / (Math.sqrt(v[0]) + eps);
    const gain = gradAveraging ? 1 - betas[0] : 1;
    for (let i = 0; i < param.length; i++) {
      m[i] = betas[0] * m[i] + gain * (scale * grad[i] + weightDecay * param[i]);
      param[i] -= s[1] * m[i];
    }
  },
  compat: { optax: { betas: [0.9, 0.25], eps: 1e-6 } },
  about: {
    rule: 'v <- running mean of |g|^2 of the tensor; m <- beta1 m + g / sqrt(v); p <- p - lr m',
    when: 'speech and language models with large batches; half the state of Adam',
    limits: 'one second moment a tensor',
    paper: 'Ginsburg et al., arXiv:1905.11286',
  },
};

/** Momentum of gradients that are normalised by tensor. */
export const novograd = (options: NovogradOptions = {}): OptimizerDescription => describe(NOVOGRAD, options);
