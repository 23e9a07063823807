/**
 * Sophia-G: momentum divided by an estimate of the Hessian's diagonal, each element's step clipped.
 *
 *     m <- m + (1 - beta1) * (g_t - m)
 *     every `interval` updates, beginning with the first:  h <- beta2 * h + (1 - beta2) * B * g_t^2
 *     p <- p (1 - lr weightDecay) - lr * clamp(m / (rho * h + eps), -1, 1)
 *
 * B is the sum of the batch's weights (the number of samples), as in the paper's B * g^2.
 *
 * Paper: Liu et al., "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training", arXiv:2305.14342.
 *
 * Which estimate: the paper's Gauss-Newton-Bartlett estimator squares the gradient of a batch whose labels are *drawn from the
 * model's own output*, in an extra pass. A step here has one loss with the true labels, so g_t is that of the training step
 * itself: the empirical Fisher (the paper's ablation "E-F + clip", worse than GNB there but better than AdamW). It costs no
 * extra pass. Near a perfect fit it is smaller than the true diagonal; the clipping bounds what comes of that.
 *
 * Defaults: lr 1e-3, betas [0.965, 0.99], rho 0.04, weightDecay 0.1 decoupled, interval 10, eps 1e-15: the authors' code, whose
 * `rho * bs * h` is rho * h here. optax.contrib has Sophia-H (Hutchinson's estimator); neither PyTorch nor Keras has one.
 *
 * Traps: rho decides how many elements are clipped; the authors tune it so that 10 to 50 % are not. All clipped: it is sign
 * momentum. lr a little below AdamW's.
 */
import { z } from 'zod';
import { BASE_SCALARS, baseScalars, betas, type DecayOptions, decay, eps, positive } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface SophiaOptions extends CommonOptions, DecayOptions {
  /** Default 1e-3. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.965, 0.99]. */
  readonly betas?: readonly [number, number];
  /** Scale of the curvature, > 0. Default 0.04. */
  readonly rho?: number;
  /** Updates between two estimates of the curvature, >= 1. Default 10. */
  readonly interval?: number;
  /** > 0. Default 1e-15. */
  readonly eps?: number;
}

const options = z.strictObject({
  betas: betas(0.965, 0.99),
  rho: positive.default(0.04),
  interval: z.int().min(1).default(10),
  eps: eps(1e-15),
  ...decay(0.1, true),
});

export const SOPHIA: OptimizerDef<z.output<typeof options>> = {
  kind: 'sophia',
  options,
  defaultLr: 1e-3,
  unit: 'element',
  slots: () => ({ m: {}, h: {} }),
  scalarNames: [...BASE_SCALARS, 'beta1', 'hKeep', 'hNew', 'rho', 'eps'],
  scalars({ step, lr, gradScale, weight = 1, options }, out) {
    const estimates = (step - 1) % options.interval === 0;
    baseScalars(out, gradScale, lr, options);
    out[4] = options.betas[0];
    out[5] = estimates ? options.betas[1] : 1;
    out[6] = estimates ? (1 - options.betas[1]) * weight : 0;
    out[7] = options.rho;
    out[8] = options.eps;
  },
  update({ param, grad, slots: { m, h } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      m[i] += (1 - s[4]) * (g - m[i]);
      h[i] = s[5] * h[i] + s[6] * g * g;
      param[i] = s[3] * param[i] - s[1] * Math.max(Math.min(m[i] / (s[7] * h[i] + s[8]), 1), -1);
    }
  },
  kernel: () => 'sophia',
  about: {
    rule: 'p <- p - lr clamp(m / (rho h), -1, 1), h an estimate of the Hessian diagonal (empirical Fisher)',
    when: 'language models, large batches',
    limits: 'the curvature is that of the empirical Fisher, not of sampled labels; rho must be tuned',
    paper: 'Liu et al., arXiv:2305.14342',
  },
};

/** Clipped second-order steps from a cheap diagonal estimate. */
export const sophia = (options: SophiaOptions = {}): OptimizerDescription => describe(SOPHIA, options);
