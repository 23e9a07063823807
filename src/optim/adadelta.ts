/**
 * Adadelta: AdaGrad with a decaying sum, and steps in the units of the parameters.
 *
 *     g_t = gradScale * gradient + weightDecay * p          (L2 penalty; decoupled: p <- p (1 - lr weightDecay) instead)
 *     v <- rho * v + (1 - rho) * g_t^2
 *     step = sqrt(u + eps) / sqrt(v + eps) * g_t
 *     u <- rho * u + (1 - rho) * step^2
 *     p <- p - lr * step
 *
 * Paper: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701, 2012.
 *
 * Defaults: lr 1, rho 0.9, eps 1e-6, weightDecay 0 (PyTorch's; optax has the same). Keras: lr 0.001, rho 0.95, epsilon 1e-7:
 * its default lr makes steps a thousand times smaller than the paper's; its decay is decoupled.
 *
 * TF.js divides by the accumulator of the step before instead of the new v; here v is updated first, as in the paper.
 *
 * Traps: u starts at 0, so the first steps are of size sqrt(eps) and eps, not lr, sets how fast training begins.
 */
import { z } from 'zod';
import { BASE_SCALARS, baseScalars, type DecayOptions, decay, eps, unitInterval } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface AdadeltaOptions extends CommonOptions, DecayOptions {
  /** Default 1. */
  readonly lr?: LearningRate;
  /** Decay of both means, in [0, 1). Default 0.9. */
  readonly rho?: number;
  /** Under both roots, > 0. Default 1e-6. */
  readonly eps?: number;
}

const options = z.strictObject({ rho: unitInterval.default(0.9), eps: eps(1e-6), ...decay(0, false) });

export const ADADELTA: OptimizerDef<z.output<typeof options>> = {
  kind: 'adadelta',
  options,
  defaultLr: 1,
  unit: 'element',
  slots: () => ({ squareAvg: {}, deltaAvg: {} }),
  scalarNames: [...BASE_SCALARS, 'rho', 'eps'],
  scalars({ lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    out[4] = options.rho;
    out[5] = options.eps;
  },
  update({ param, grad, slots: { squareAvg, deltaAvg } }, s) {
    const rho = s[4];
    const eps = s[5];
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      const square = rho * squareAvg[i] + (1 - rho) * g * g;
      const step = (Math.sqrt(deltaAvg[i] + eps) / Math.sqrt(square + eps)) * g;
      squareAvg[i] = square;
      deltaAvg[i] = rho * deltaAvg[i] + (1 - rho) * step * step;
      param[i] = s[3] * param[i] - s[1] * step;
    }
  },
  kernel: () => 'adadelta',
  compat: { pytorch: {}, keras: { lr: 0.001, rho: 0.95, eps: 1e-7, decoupled: true }, optax: {} },
  about: {
    rule: 'p <- p - lr RMS(steps before) / RMS(gradients) g',
    when: 'no learning rate to tune at all; noisy gradients',
    limits: 'begins slowly and depends on eps; Adam is usually faster',
    paper: 'Zeiler, arXiv:1212.5701',
  },
};

/** AdaGrad with a decaying sum and steps of its own scale, as `torch.optim.Adadelta`. */
export const adadelta = (options: AdadeltaOptions = {}): OptimizerDescription => describe(ADADELTA, options);
