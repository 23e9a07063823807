/**
 * AdaGrad: each element's step shrinks with the gradients it has seen.
 *
 *     g_t = gradScale * gradient + weightDecay * p
 *     sum <- sum + g_t^2                                    (starts at initialAccumulator)
 *     p   <- p - lr_t * g_t / (sqrt(sum) + eps),            lr_t = lr / (1 + (t - 1) * lrDecay)
 *
 * Paper: Duchi, Hazan & Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR 2011.
 *
 * Defaults: lr 0.01, lrDecay 0, weightDecay 0, initialAccumulator 0, eps 1e-10 (PyTorch's). Keras: lr 0.001,
 * initial_accumulator_value 0.1, epsilon 1e-7 inside the root, no lrDecay.
 *
 * Traps: the sum only grows, so the step tends to zero; on long runs of non-convex problems prefer RMSprop or Adam. With
 * initialAccumulator 0 the first update has size lr in every element, whatever the gradient. A schedule and lrDecay multiply.
 */
import { z } from 'zod';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { describe, type LearningRate } from './description.ts';

export interface AdagradOptions {
  /** Default 0.01. */
  readonly lr?: LearningRate;
  /** >= 0. Default 0. */
  readonly lrDecay?: number;
  /** L2 penalty, >= 0. Default 0. */
  readonly weightDecay?: number;
  /** Start of the sum of squares, >= 0. Default 0. */
  readonly initialAccumulator?: number;
  /** Added to the root, > 0. Default 1e-10. */
  readonly eps?: number;
}

const options = z.strictObject({
  lrDecay: z.number().min(0).default(0),
  weightDecay: z.number().min(0).default(0),
  initialAccumulator: z.number().min(0).default(0),
  eps: z.number().gt(0).default(1e-10),
});

export const ADAGRAD: OptimizerDef<z.output<typeof options>> = {
  kind: 'adagrad',
  options,
  defaultLr: 0.01,
  unit: 'element',
  slots: ({ initialAccumulator }) => ({ sum: { init: initialAccumulator } }),
  scalarNames: ['gradScale', 'lr', 'weightDecay', 'eps', 'clr'],
  scalars({ step, lr, gradScale, options }, out) {
    out[0] = gradScale;
    out[1] = lr;
    out[2] = options.weightDecay;
    out[3] = options.eps;
    out[4] = lr / (1 + (step - 1) * options.lrDecay);
  },
  update({ param, grad, slots: { sum } }, s) {
    const gradScale = s[0];
    const weightDecay = s[2];
    const eps = s[3];
    const clr = s[4];
    for (let i = 0; i < param.length; i++) {
      const g = gradScale * grad[i] + weightDecay * param[i];
      const total = sum[i] + g * g;
      sum[i] = total;
      param[i] -= (clr * g) / (Math.sqrt(total) + eps);
    }
  },
  kernel: () => 'adagrad',
};

/** AdaGrad, as `torch.optim.Adagrad`. */
export const adagrad = (options: AdagradOptions = {}): OptimizerDescription => describe(ADAGRAD, options);
