/**
 * Lion: the sign of a momentum, found by program search.
 *
 *     g_t = gradScale * gradient                            (decoupled false: + weightDecay * p)
 *     p <- p (1 - lr weightDecay) - lr * sign(beta1 * m + (1 - beta1) * g_t)
 *     m <- beta2 * m + (1 - beta2) * g_t
 *
 * Paper: Chen et al., "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675, 2023.
 *
 * Defaults: lr 1e-4, betas [0.9, 0.99], weightDecay 0, decoupled (the paper's). Keras: lr 0.001; optax: weight_decay 1e-3, no
 * default lr; PyTorch has none. sign(0) is 0.
 *
 * Traps: every element moves by lr each step, so lr wants a third to a tenth of AdamW's and weightDecay three to ten times as
 * much. Without a decaying schedule it never comes to rest: it circles the minimum at distance lr. Small batches make the
 * sign mostly noise.
 */
import { z } from 'zod';
import { BASE_SCALARS, baseScalars, betas, type DecayOptions, decay } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface LionOptions extends CommonOptions, DecayOptions {
  /** Default 1e-4. */
  readonly lr?: LearningRate;
  /** Weight of the momentum in the step, and its decay; each in [0, 1). Default [0.9, 0.99]. */
  readonly betas?: readonly [number, number];
}

const options = z.strictObject({ betas: betas(0.9, 0.99), ...decay(0, true) });

export const LION: OptimizerDef<z.output<typeof options>> = {
  kind: 'lion',
  options,
  defaultLr: 1e-4,
  unit: 'element',
  slots: () => ({ m: {} }),
  scalarNames: [...BASE_SCALARS, 'beta1', 'beta2'],
  scalars({ lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    out[4] = options.betas[0];
    out[5] = options.betas[1];
  },
  update({ param, grad, slots: { m } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      const change = g - m[i];
      param[i] = s[3] * param[i] - s[1] * Math.sign((1 - s[4]) * change + m[i]);
      m[i] += (1 - s[5]) * change;
    }
  },
  kernel: () => 'lion',
  compat: { keras: { lr: 0.001 }, optax: { weightDecay: 1e-3 } },
  about: {
    rule: 'p <- p - lr sign(beta1 m + (1 - beta1) g); m <- beta2 m + (1 - beta2) g',
    when: 'large batches, vision and language models; half the state of Adam',
    limits: 'needs a decaying schedule, a small lr and a large batch',
    paper: 'Chen et al., arXiv:2302.06675',
  },
};

/** The sign of a momentum. */
export const lion = (options: LionOptions = {}): OptimizerDescription => describe(LION, options);
