/**
 * AdaBelief: Adam that divides by how far gradients lie from what was expected, not by how large they are.
 *
 *     g_t = gradScale * gradient                            (decoupled false: + weightDecay * p)
 *     m <- m + (1 - beta1) * (g_t - m)
 *     s <- beta2 * s + (1 - beta2) * (g_t - m)^2 + eps
 *     p <- p (1 - lr weightDecay) - lr / (1 - beta1^t) * m / (sqrt(s / (1 - beta2^t)) + eps)
 *
 * Paper: Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients", arXiv:2010.07468, 2020.
 *
 * Defaults: lr 0.001, betas [0.9, 0.999], eps 1e-16, weightDecay 0, decoupled: the authors' code. eps is added to s at every
 * update and stays in it (the paper's algorithm 2), so s tends to at least eps / (1 - beta2). optax: the same, no default lr; neither
 * PyTorch nor Keras has it.
 *
 * Traps: eps matters far more than in Adam: s is near zero where gradients are steady, and the steps are then as large as
 * eps allows. The authors use 1e-16 for transformers and 1e-8 for convolutional networks. eps^2 must not vanish in f32.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, baseScalars, betas, type DecayOptions, decay, eps } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface AdabeliefOptions extends CommonOptions, DecayOptions {
  /** Default 0.001. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-16. */
  readonly eps?: number;
}

const options = z.strictObject({ betas: betas(0.9, 0.999), eps: eps(1e-16), ...decay(0, true) });

export const ADABELIEF: OptimizerDef<z.output<typeof options>> = {
  kind: 'adabelief',
  options,
  defaultLr: 0.001,
  unit: 'element',
  slots: () => ({ m: {}, s: {} }),
  scalarNames: [...BASE_SCALARS, 'beta1', 'beta2', 'eps', 'epsSum', 'stepSize', 'invSqrtBias2'],
  scalars({ step, lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    out[4] = options.betas[0];
    out[5] = options.betas[1];
    out[6] = options.eps;
    out[7] = options.eps;
    out[8] = lr / (1 - pow(options.betas[0], step));
    out[9] = 1 / Math.sqrt(1 - pow(options.betas[1], step));
  },
  update({ param, grad, slots: { m, s: spread } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      m[i] += (1 - s[4]) * (g - m[i]);
      const surprise = g - m[i];
      spread[i] = s[5] * spread[i] + (1 - s[5]) * surprise * surprise + s[7];
      param[i] = s[3] * param[i] - (s[8] * m[i]) / (Math.sqrt(spread[i]) * s[9] + s[6]);
    }
  },
  kernel: () => 'adabelief',
  compat: { optax: {} },
  about: {
    rule: 's <- running mean of (g - m)^2; p <- p - lr m^ / (sqrt(s^) + eps)',
    when: 'where Adam is fast but SGD generalises better',
    limits: 'sensitive to eps; otherwise those of Adam',
    paper: 'Zhuang et al., arXiv:2010.07468',
  },
};

/** Adam that divides by the spread of the gradients. */
export const adabelief = (options: AdabeliefOptions = {}): OptimizerDescription => describe(ADABELIEF, options);
