/**
 * RMSprop: the gradient divided by a running root mean square of itself.
 *
 *     g_t = gradScale * gradient + weightDecay * p
 *     v <- alpha * v + (1 - alpha) * g_t^2
 *     plain:     d = g_t / (sqrt(v) + eps)
 *     centered:  a <- alpha * a + (1 - alpha) * g_t,   d = g_t / (sqrt(max(v - a^2, 0)) + eps)
 *     momentum:  b <- momentum * b + d,                p <- p - lr * b        (without: p <- p - lr * d)
 *
 * Source: Tieleman & Hinton, Coursera "Neural Networks for Machine Learning", lecture 6.5, 2012; centered: Graves,
 * "Generating Sequences With Recurrent Neural Networks", arXiv:1308.0850, 2013.
 *
 * Defaults: lr 0.01, alpha 0.99, eps 1e-8, momentum 0, centered false, weightDecay 0 (PyTorch's). Keras: lr 0.001, rho 0.9,
 * epsilon 1e-7 inside the root, and lr inside the momentum buffer, so that schedules act later there. TensorFlow 1 put
 * eps inside the root and began v at 1: published results obtained with it need its numbers.
 *
 * Traps: v has no bias correction, so the first updates are up to 1/sqrt(1 - alpha) = 10 times lr. In centered form
 * v - a^2 is a difference of nearly equal numbers when the gradient hardly changes; rounding may make it negative, which
 * is a NaN in PyTorch and 0 here, and either way the divisor falls to eps: raise eps when centered.
 */
import { z } from 'zod';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { describe, type LearningRate } from './description.ts';

export interface RmspropOptions {
  /** Default 0.01. */
  readonly lr?: LearningRate;
  /** Decay of the mean square, in [0, 1). Default 0.99. */
  readonly alpha?: number;
  /** Added to the root, > 0. Default 1e-8. */
  readonly eps?: number;
  /** In [0, 1). Default 0: no buffer. */
  readonly momentum?: number;
  /** Divide by the standard deviation instead of the root mean square. Default false. */
  readonly centered?: boolean;
  /** L2 penalty, >= 0. Default 0. */
  readonly weightDecay?: number;
}

const options = z.strictObject({
  alpha: z.number().min(0).lt(1).default(0.99),
  eps: z.number().gt(0).default(1e-8),
  momentum: z.number().min(0).lt(1).default(0),
  centered: z.boolean().default(false),
  weightDecay: z.number().min(0).default(0),
});

export const RMSPROP: OptimizerDef<z.output<typeof options>> = {
  kind: 'rmsprop',
  options,
  defaultLr: 0.01,
  unit: 'element',
  slots: ({ centered, momentum }) => ({
    squareAvg: {},
    ...(centered && { gradAvg: {} }),
    ...(momentum > 0 && { momentum: {} }),
  }),
  scalarNames: ['gradScale', 'lr', 'weightDecay', 'alpha', 'eps', 'momentum'],
  scalars({ lr, gradScale, options }, out) {
    out[0] = gradScale;
    out[1] = lr;
    out[2] = options.weightDecay;
    out[3] = options.alpha;
    out[4] = options.eps;
    out[5] = options.momentum;
  },
  update({ param, grad, slots }, s) {
    const gradScale = s[0];
    const lr = s[1];
    const weightDecay = s[2];
    const alpha = s[3];
    const eps = s[4];
    const momentum = s[5];
    const { squareAvg, gradAvg, momentum: buffer } = slots;
    for (let i = 0; i < param.length; i++) {
      const g = gradScale * grad[i] + weightDecay * param[i];
      const square = alpha * squareAvg[i] + (1 - alpha) * g * g;
      squareAvg[i] = square;
      let variance = square;
      if (gradAvg !== undefined) {
        const average = alpha * gradAvg[i] + (1 - alpha) * g;
        gradAvg[i] = average;
        variance = Math.max(square - average * average, 0);
      }
      let direction = g / (Math.sqrt(variance) + eps);
      if (buffer !== undefined) {
        direction += momentum * buffer[i];
        buffer[i] = direction;
      }
      param[i] -= lr * direction;
    }
  },
  kernel({ centered, momentum }) {
    if (centered) return momentum > 0 ? 'rmspropCenteredMomentum' : 'rmspropCentered';
    return momentum > 0 ? 'rmspropMomentum' : 'rmsprop';
  },
};

/** RMSprop, as `torch.optim.RMSprop`. */
export const rmsprop = (options: RmspropOptions = {}): OptimizerDescription => describe(RMSPROP, options);
