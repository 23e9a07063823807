/**
 * ASGD: stochastic gradient descent with a decaying rate, and the average of its path.
 *
 *     g_t = gradScale * gradient + weightDecay * p
 *     p <- p (1 - lambda * eta_t) - eta_t * g_t,            eta_1 = lr, eta_(t+1) = lr / (1 + lambda * lr * t)^alpha
 *     a <- a + mu_t (p - a),                                mu_1 = 1, mu_(t+1) = 1 / max(1, t - start)
 *
 * Paper: Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; in this form Bottou's asgd and Xu,
 * arXiv:1107.2490.
 *
 * Defaults: lr 0.01, lambda 1e-4, alpha 0.75, start 1e6, weightDecay 0 (PyTorch's).
 *
 * PyTorch leaves it to the user to fetch the average from the state; here evaluation and the final parameters use a, which is p
 * until averaging begins.
 *
 * Traps: with the default start averaging begins after a million updates: set `start` to where the loss has levelled off.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, baseScalars, type DecayOptions, decay, notNegative } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface AsgdOptions extends CommonOptions, DecayOptions {
  /** Default 0.01. */
  readonly lr?: LearningRate;
  /** Decay of the parameters and of the rate, >= 0. Default 1e-4. */
  readonly lambda?: number;
  /** Power of the rate's decay, >= 0. Default 0.75. */
  readonly alpha?: number;
  /** Update after which averaging begins, >= 0. Default 1e6. */
  readonly start?: number;
}

const options = z.strictObject({
  lambda: notNegative.default(1e-4),
  alpha: notNegative.default(0.75),
  start: notNegative.default(1e6),
  ...decay(0, false),
});

export const ASGD: OptimizerDef<z.output<typeof options>> = {
  kind: 'asgd',
  options,
  defaultLr: 0.01,
  unit: 'element',
  slots: () => ({ average: { init: 'parameter' } }),
  scalarNames: [...BASE_SCALARS, 'eta', 'mu'],
  scalars({ step, lr, gradScale, options }, out) {
    const { lambda, alpha, start } = options;
    const eta = lr / pow(1 + lambda * lr * (step - 1), alpha);
    baseScalars(out, gradScale, lr, options);
    out[3] *= 1 - lambda * eta;
    out[4] = eta;
    out[5] = 1 / Math.max(1, step - 1 - start);
  },
  update({ param, grad, slots: { average } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      const next = s[3] * param[i] - s[4] * g;
      param[i] = next;
      average[i] += s[5] * (next - average[i]);
    }
  },
  kernel: () => 'asgd',
  evalParameters({ slots: { average } }, out) {
    out.set(average);
  },
  compat: { pytorch: {} },
  about: {
    rule: 'p <- p - eta_t g with a decaying eta_t; evaluates at the average of the path',
    when: 'convex problems with noisy gradients; language models with recurrent networks once the loss has levelled off',
    limits: 'averaging must begin late enough: set start',
    paper: 'Polyak & Juditsky 1992; Xu, arXiv:1107.2490',
  },
};

/** Averaged stochastic gradient descent, as `torch.optim.ASGD`. */
export const asgd = (options: AsgdOptions = {}): OptimizerDescription => describe(ASGD, options);
