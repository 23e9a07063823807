/**
 * Adan: Nesterov's momentum written with differences of gradients, adaptive.
 *
 *     d_t = g_t - g_(t-1)                                   (0 at the first update)
 *     m <- beta1 m + (1 - beta1) g_t;   d <- beta2 d + (1 - beta2) d_t
 *     n <- beta3 n + (1 - beta3) (g_t + beta2 d_t)^2
 *     s = sqrt(n / (1 - beta3^t)) + eps
 *     p <- (p - lr (m / (1 - beta1^t) + beta2 d / (1 - beta2^t)) / s) / (1 + lr weightDecay)
 *     proximal false:  p <- p (1 - lr weightDecay) - lr (...) / s
 *
 * Paper: Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm", arXiv:2208.06677, 2022.
 *
 * Defaults: lr 0.001, betas [0.98, 0.92, 0.99], eps 1e-8, weightDecay 0, proximal: the authors' code (its betas are 1 minus
 * those of the paper). As there, the factor before d is beta2, where the paper writes 1 - beta2 in its own notation; optax takes the
 * paper's formula with the code's betas, so its factor is 0.08 instead of 0.92, and adds 1e-8 under the root. Neither PyTorch nor
 * Keras has it.
 *
 * Traps: four slots, 16 bytes a parameter. The first difference is taken as 0; after a clipped step the difference is that of
 * the clipped gradients. lr may be five to ten times AdamW's.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, eps, notNegative, unitInterval } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface AdanOptions extends CommonOptions {
  /** Default 0.001. */
  readonly lr?: LearningRate;
  /** Decays of the gradient, of its differences, of the square; each in [0, 1). Default [0.98, 0.92, 0.99]. */
  readonly betas?: readonly [number, number, number];
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** Decoupled, >= 0. Default 0. */
  readonly weightDecay?: number;
  /** Decay by division after the step instead of by subtraction before it. Default true. */
  readonly proximal?: boolean;
}

const options = z.strictObject({
  betas: z.tuple([unitInterval, unitInterval, unitInterval]).default([0.98, 0.92, 0.99]),
  eps: eps(1e-8),
  weightDecay: notNegative.default(0),
  proximal: z.boolean().default(true),
});

export const ADAN: OptimizerDef<z.output<typeof options>> = {
  kind: 'adan',
  options,
  defaultLr: 0.001,
  unit: 'element',
  slots: () => ({ m: {}, d: {}, n: {}, before: {} }),
  scalarNames: [
    ...BASE_SCALARS,
    ...['beta1', 'beta2', 'beta3', 'eps', 'meanStep', 'diffStep', 'invSqrtBias3', 'diffOn', 'shrink'],
  ],
  scalars({ step, lr, gradScale, options: { betas, eps, weightDecay, proximal } }, out) {
    out[0] = gradScale;
    out[1] = lr;
    out[2] = 0;
    out[3] = proximal ? 1 : 1 - lr * weightDecay;
    out[4] = betas[0];
    out[5] = betas[1];
    out[6] = betas[2];
    out[7] = eps;
    out[8] = lr / (1 - pow(betas[0], step));
    out[9] = (lr * betas[1]) / (1 - pow(betas[1], step));
    out[10] = 1 / Math.sqrt(1 - pow(betas[2], step));
    out[11] = step === 1 ? 0 : 1;
    out[12] = proximal ? 1 / (1 + lr * weightDecay) : 1;
  },
  update({ param, grad, slots: { m, d, n, before } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i];
      const change = s[11] * (g - before[i]);
      const ahead = g + s[5] * change;
      m[i] += (1 - s[4]) * (g - m[i]);
      d[i] += (1 - s[5]) * (change - d[i]);
      n[i] = s[6] * n[i] + (1 - s[6]) * ahead * ahead;
      before[i] = g;
      const direction = (s[8] * m[i] + s[9] * d[i]) / (Math.sqrt(n[i]) * s[10] + s[7]);
      param[i] = s[12] * (s[3] * param[i] - direction);
    }
  },
  kernel: () => 'adan',
  about: {
    rule: 'running means m of g, d of its changes, n of (g + beta2 change)^2; p <- p - lr (m^ + beta2 d^) / (sqrt(n^) + eps)',
    when: 'vision transformers and large batches: bears larger lr than AdamW',
    limits: '16 bytes a parameter of state',
    paper: 'Xie et al., arXiv:2208.06677',
  },
};

/** Adaptive Nesterov momentum. */
export const adan = (options: AdanOptions = {}): OptimizerDescription => describe(ADAN, options);
