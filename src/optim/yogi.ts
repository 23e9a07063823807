/**
 * Yogi: Adam whose mean square moves by steps of the gradient's own size, so that it cannot collapse at once.
 *
 *     g_t = gradScale * gradient + weightDecay * p          (L2 penalty; decoupled: p <- p (1 - lr weightDecay) instead)
 *     m <- m + (1 - beta1) * (g_t - m)                      (starts at initialMean)
 *     v <- v - (1 - beta2) * sign(v - g_t^2) * g_t^2        (starts at initialAccumulator)
 *     p <- p - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)
 *
 * Paper: Zaheer et al., "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018.
 *
 * Defaults: lr 0.01, betas [0.9, 0.999], eps 1e-3, initialAccumulator 1e-6, initialMean 0, weightDecay 0 (the paper's; optax has the
 * same numbers, but starts m at 1e-6 too, and has no default lr). Neither PyTorch nor Keras has it.
 *
 * Traps: eps 1e-3 is meant: it bounds the adaptivity. With the usual 1e-8 it behaves like Adam.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, baseScalars, betas, type DecayOptions, decay, eps, notNegative } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface YogiOptions extends CommonOptions, DecayOptions {
  /** Default 0.01. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-3. */
  readonly eps?: number;
  /** Start of the mean square, >= 0. Default 1e-6. */
  readonly initialAccumulator?: number;
  /** Start of the mean. Default 0. */
  readonly initialMean?: number;
}

const options = z.strictObject({
  betas: betas(0.9, 0.999),
  eps: eps(1e-3),
  initialAccumulator: notNegative.default(1e-6),
  initialMean: z.number().default(0),
  ...decay(0, false),
});

export const YOGI: OptimizerDef<z.output<typeof options>> = {
  kind: 'yogi',
  options,
  defaultLr: 0.01,
  unit: 'element',
  slots: ({ initialMean, initialAccumulator }) => ({ m: { init: initialMean }, v: { init: initialAccumulator } }),
  scalarNames: [...BASE_SCALARS, 'beta1', 'beta2', 'eps', 'stepSize', 'invSqrtBias2'],
  scalars({ step, lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    out[4] = options.betas[0];
    out[5] = options.betas[1];
    out[6] = options.eps;
    out[7] = lr / (1 - pow(options.betas[0], step));
    out[8] = 1 / Math.sqrt(1 - pow(options.betas[1], step));
  },
  update({ param, grad, slots: { m, v } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      m[i] += (1 - s[4]) * (g - m[i]);
      v[i] -= (1 - s[5]) * Math.sign(v[i] - g * g) * g * g;
      param[i] = s[3] * param[i] - (s[7] * m[i]) / (Math.sqrt(v[i]) * s[8] + s[6]);
    }
  },
  kernel: () => 'yogi',
  compat: { optax: { initialMean: 1e-6 } },
  about: {
    rule: "v <- v - (1 - beta2) sign(v - g^2) g^2, then Adam's step",
    when: 'sparse or bursty gradients, federated averages, where Adam diverges',
    limits: 'slower than Adam where gradients shrink quickly',
    paper: 'Zaheer et al., Adaptive Methods for Nonconvex Optimization, NeurIPS 2018',
  },
};

/** Adam with a mean square that changes slowly. */
export const yogi = (options: YogiOptions = {}): OptimizerDescription => describe(YOGI, options);
