/**
 * AdaGrad: each element's step shrinks with the gradients it has seen.
 *
 *     g_t = gradScale * gradient + weightDecay * p          (L2 penalty; decoupled: p <- p (1 - lr weightDecay) instead)
 *     sum <- sum + g_t^2                                    (starts at initialAccumulator)
 *     p   <- p - lr_t * g_t / (sqrt(sum) + eps),            lr_t = lr / (1 + (t - 1) * lrDecay)
 *     epsInside:  p <- p - lr_t * g_t / sqrt(sum + eps)     (the textbook's form)
 *
 * Paper: Duchi, Hazan & Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR 2011.
 *
 * Defaults: lr 0.01, lrDecay 0, weightDecay 0, initialAccumulator 0, eps 1e-10 outside the root (PyTorch's). Keras: lr 0.001,
 * initial_accumulator_value 0.1, epsilon 1e-7 inside the root, decoupled decay, no lrDecay; optax likewise, without lr and decay.
 *
 * Traps: the sum only grows, so the step tends to zero; on long runs of non-convex problems prefer RMSprop or Adam. With
 * initialAccumulator 0 the first update has size lr in every element, whatever the gradient. A schedule and lrDecay multiply.
 */
import { z } from 'zod';
import { BASE_SCALARS, baseScalars, type DecayOptions, decay, eps, notNegative } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface AdagradOptions extends CommonOptions, DecayOptions {
  /** Default 0.01. */
  readonly lr?: LearningRate;
  /** >= 0. Default 0. */
  readonly lrDecay?: number;
  /** Start of the sum of squares, >= 0. Default 0. */
  readonly initialAccumulator?: number;
  /** > 0. Default 1e-10. */
  readonly eps?: number;
  /** eps is added under the root, as in the textbook's formula, instead of to the root. Default false. */
  readonly epsInside?: boolean;
}

const options = z.strictObject({
  lrDecay: notNegative.default(0),
  ...decay(0, false),
  initialAccumulator: notNegative.default(0),
  eps: eps(1e-10),
  epsInside: z.boolean().default(false),
});

export const ADAGRAD: OptimizerDef<z.output<typeof options>> = {
  kind: 'adagrad',
  options,
  defaultLr: 0.01,
  unit: 'element',
  slots: ({ initialAccumulator }) => ({ sum: { init: initialAccumulator } }),
  scalarNames: [...BASE_SCALARS, 'eps', 'epsRoot', 'clr'],
  scalars({ step, lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    out[4] = options.epsInside ? 0 : options.eps;
    out[5] = options.epsInside ? options.eps : 0;
    out[6] = lr / (1 + (step - 1) * options.lrDecay);
  },
  update({ param, grad, slots: { sum } }, s) {
    const gradScale = s[0];
    const l2 = s[2];
    const keep = s[3];
    const eps = s[4];
    const epsRoot = s[5];
    const clr = s[6];
    for (let i = 0; i < param.length; i++) {
      const g = gradScale * grad[i] + l2 * param[i];
      const total = sum[i] + g * g;
      sum[i] = total;
      param[i] = keep * param[i] - (clr * g) / (Math.sqrt(total + epsRoot) + eps);
    }
  },
  kernel: () => 'adagrad',
  sparseUpdate({ param, slots: { sum }, width, ids, grad }, s) {
    for (let row = 0; row < ids.length; row++) {
      for (let j = 0; j < width; j++) {
        const at = ids[row] * width + j;
        const g = s[0] * grad[row * width + j];
        const total = sum[at] + g * g;
        sum[at] = total;
        param[at] -= (s[6] * g) / (Math.sqrt(total + s[5]) + s[4]);
      }
    }
  },
  sparseIsDense: true,
  sparseKernel: ({ weightDecay }) => (weightDecay === 0 ? 'adagradRows' : undefined),
  compat: {
    pytorch: {},
    keras: { lr: 0.001, initialAccumulator: 0.1, eps: 1e-7, epsInside: true, decoupled: true },
    optax: { initialAccumulator: 0.1, eps: 1e-7, epsInside: true },
  },
  about: {
    rule: 'sum <- sum + g^2; p <- p - lr g / (sqrt(sum) + eps)',
    when: 'sparse features (rare words, ids): rare ones keep large steps; convex problems',
    limits: 'the step only shrinks: long non-convex runs stall',
    paper: 'Duchi, Hazan & Singer, Adaptive Subgradient Methods, JMLR 2011',
  },
};

/** AdaGrad, as `torch.optim.Adagrad`. */
export const adagrad = (options: AdagradOptions = {}): OptimizerDescription => describe(ADAGRAD, options);
