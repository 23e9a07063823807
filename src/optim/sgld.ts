/**
 * SGLD, stochastic gradient Langevin dynamics: descent with so much noise that it draws samples from the posterior.
 *
 *     p <- p - lr * (g_t + weightDecay * p) + sqrt(2 * lr * temperature) * n,      n ~ N(0, 1)
 *
 * Paper: Welling & Teh, "Bayesian Learning via Stochastic Gradient Langevin Dynamics", ICML 2011. With a loss that is the mean of
 * negative log-likelihoods over N rows, temperature 1/N samples the posterior (their epsilon is 2 lr / N, weightDecay the
 * prior's precision / N); smaller is colder.
 *
 * Defaults: temperature 1e-4, weightDecay 0. lr has no default.
 *
 * The noise is Philox of (seed of the job, update, tensor, element): the same on any number of workers, and independent of the
 * blocks. Neither PyTorch nor Keras has it; optax's noisy_sgd fixes another scale.
 *
 * Traps: it does not converge to a point, it wanders around it with variance temperature / curvature; means of many
 * parameters along the path (`ema`, `swa`) are its estimate. Clipping distorts what it samples.
 */
import { z } from 'zod';
import { BASE_SCALARS, baseScalars, decay, notNegative } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';
import { addNoise } from './gradient-noise.ts';

export interface SgldOptions extends CommonOptions {
  readonly lr: LearningRate;
  /** >= 0; 1 / (rows of the training set) samples the posterior. Default 1e-4. */
  readonly temperature?: number;
  /** Precision of a Gaussian prior / rows, >= 0. Default 0. */
  readonly weightDecay?: number;
  /** Default false: the prior is part of the gradient. */
  readonly decoupled?: boolean;
}

const options = z.strictObject({ temperature: notNegative.default(1e-4), ...decay(0, false) });

export const SGLD: OptimizerDef<z.output<typeof options>> = {
  kind: 'sgld',
  options,
  unit: 'element',
  slots: () => ({}),
  scalarNames: [...BASE_SCALARS, 'noise'],
  scalars({ lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    out[4] = lr > 0 ? Math.sqrt((2 * options.temperature) / lr) : 0;
  },
  transform: (view, out, s, { step }) => addNoise(view, out, step, s[4] / s[0]),
  update({ param, grad }, s) {
    for (let i = 0; i < param.length; i++) param[i] = s[3] * param[i] - s[1] * (s[0] * grad[i] + s[2] * param[i]);
  },
  kernel: () => 'sgd',
  about: {
    rule: 'p <- p - lr g + sqrt(2 lr temperature) n',
    when: 'uncertainty: parameters along the path are samples of the posterior; escaping flat or poor regions',
    limits: 'does not come to rest; needs many steps for good samples',
    paper: 'Welling & Teh, ICML 2011',
  },
};

/** Stochastic gradient Langevin dynamics. */
export const sgld = (options: SgldOptions): OptimizerDescription => describe(SGLD, options);
