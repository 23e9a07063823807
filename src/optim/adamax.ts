/**
 * Adamax: Adam with the largest gradient, decaying, in place of the root mean square.
 *
 *     g_t = gradScale * gradient + weightDecay * p          (L2 penalty; decoupled: p <- p (1 - lr weightDecay) instead)
 *     m <- m + (1 - beta1) * (g_t - m)
 *     u <- max(beta2 * u, |g_t| + eps)
 *     p <- p - lr / (1 - beta1^t) * m / u                   (epsInMax false: u <- max(beta2 u, |g_t|), ... / (u + eps))
 *
 * Paper: Kingma & Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, section 7.1.
 *
 * Defaults: lr 0.002, betas [0.9, 0.999], eps 1e-8, weightDecay 0 (PyTorch's; optax has the same rule). Keras: lr 0.001,
 * epsilon 1e-7 added to u in the division, decoupled decay.
 *
 * Traps: u falls only by beta2 a step: one outlier makes the steps of its element small for about 1 / (1 - beta2) updates.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, baseScalars, betas, type DecayOptions, decay, eps } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface AdamaxOptions extends CommonOptions, DecayOptions {
  /** Default 0.002. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** eps is part of the maximum (PyTorch) instead of being added to it (Keras). Default true. */
  readonly epsInMax?: boolean;
}

const options = z.strictObject({
  betas: betas(0.9, 0.999),
  eps: eps(1e-8),
  epsInMax: z.boolean().default(true),
  ...decay(0, false),
});

export const ADAMAX: OptimizerDef<z.output<typeof options>> = {
  kind: 'adamax',
  options,
  defaultLr: 0.002,
  unit: 'element',
  slots: () => ({ m: {}, u: {} }),
  scalarNames: [...BASE_SCALARS, 'beta1', 'beta2', 'eps', 'epsMax', 'stepSize'],
  scalars({ step, lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    out[4] = options.betas[0];
    out[5] = options.betas[1];
    out[6] = options.epsInMax ? 0 : options.eps;
    out[7] = options.epsInMax ? options.eps : 0;
    out[8] = lr / (1 - pow(options.betas[0], step));
  },
  update({ param, grad, slots: { m, u } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      m[i] += (1 - s[4]) * (g - m[i]);
      u[i] = Math.max(s[5] * u[i], Math.abs(g) + s[7]);
      param[i] = s[3] * param[i] - (s[8] * m[i]) / (u[i] + s[6]);
    }
  },
  kernel: () => 'adamax',
  compat: { pytorch: {}, keras: { lr: 0.001, eps: 1e-7, epsInMax: false, decoupled: true }, optax: {} },
  about: {
    rule: 'm <- mean of g; u <- max(beta2 u, |g|); p <- p - lr m^ / u',
    when: 'gradients with rare large values, as of embeddings; otherwise Adam',
    limits: 'one outlier slows its element for long',
    paper: 'Kingma & Ba, arXiv:1412.6980, section 7.1',
  },
};

/** Adam with the infinity norm, as `torch.optim.Adamax`. */
export const adamax = (options: AdamaxOptions = {}): OptimizerDescription => describe(ADAMAX, options);
