/**
 * RMSprop: the gradient divided by a running root mean square of itself.
 *
 *     g_t = gradScale * gradient + weightDecay * p          (L2 penalty; decoupled: p <- p (1 - lr weightDecay) instead)
 *     v <- alpha * v + (1 - alpha) * g_t^2
 *     plain:     d = g_t / (sqrt(v) + eps)                  (epsInside: g_t / sqrt(v + eps))
 *     centered:  a <- alpha * a + (1 - alpha) * g_t,   d = g_t / (sqrt(max(v - a^2, 0)) + eps)
 *     momentum:  b <- momentum * b + d,                p <- p - lr * b        (without: p <- p - lr * d)
 *     lrInMomentum:  b <- momentum * b + lr * d,       p <- p - b
 *
 * Source: Tieleman & Hinton, Coursera "Neural Networks for Machine Learning", lecture 6.5, 2012; centered: Graves,
 * "Generating Sequences With Recurrent Neural Networks", arXiv:1308.0850, 2013.
 *
 * Defaults: lr 0.01, alpha 0.99, eps 1e-8 outside the root, momentum 0, centered false, weightDecay 0 (PyTorch's). Keras: lr
 * 0.001, rho 0.9, epsilon 1e-7 inside the root, decoupled decay, and lr inside the momentum buffer, so that schedules act later there; optax
 * likewise with decay 0.9 and eps 1e-8. TensorFlow 1 began v at 1 (`initialAccumulator`): published results obtained with it
 * need its numbers.
 *
 * Traps: v has no bias correction, so the first updates are up to 1/sqrt(1 - alpha) = 10 times lr. In centered form
 * v - a^2 is a difference of nearly equal numbers when the gradient hardly changes; rounding may make it negative. That is a NaN
 * in PyTorch and in TF.js, whose centered form goes NaN under a constant gradient because its eps stands inside the
 * difference and is rounded away; here the difference is at least 0 and eps is added after that. The divisor then falls
 * to eps all the same: raise eps when centered.
 */
import { z } from 'zod';
import { BASE_SCALARS, baseScalars, type DecayOptions, decay, eps, notNegative, unitInterval } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface RmspropOptions extends CommonOptions, DecayOptions {
  /** Default 0.01. */
  readonly lr?: LearningRate;
  /** Decay of the mean square, in [0, 1). Default 0.99. */
  readonly alpha?: number;
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** eps is added under the root instead of to it. Default false. */
  readonly epsInside?: boolean;
  /** In [0, 1). Default 0: no buffer. */
  readonly momentum?: number;
  /** Divide by the standard deviation instead of the root mean square. Default false. */
  readonly centered?: boolean;
  /** The learning rate enters the momentum buffer instead of scaling the whole step. Default false. */
  readonly lrInMomentum?: boolean;
  /** Start of the mean square, >= 0. Default 0. */
  readonly initialAccumulator?: number;
}

const options = z.strictObject({
  alpha: unitInterval.default(0.99),
  eps: eps(1e-8),
  epsInside: z.boolean().default(false),
  momentum: unitInterval.default(0),
  centered: z.boolean().default(false),
  lrInMomentum: z.boolean().default(false),
  initialAccumulator: notNegative.default(0),
  ...decay(0, false),
});

export const RMSPROP: OptimizerDef<z.output<typeof options>> = {
  kind: 'rmsprop',
  options,
  defaultLr: 0.01,
  unit: 'element',
  slots: ({ centered, momentum, initialAccumulator }) => ({
    squareAvg: { init: initialAccumulator },
    ...(centered && { gradAvg: {} }),
    ...(momentum > 0 && { momentum: {} }),
  }),
  scalarNames: [...BASE_SCALARS, 'alpha', 'eps', 'epsRoot', 'momentum', 'inStep', 'outStep'],
  scalars({ lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    const inside = options.momentum > 0 && options.lrInMomentum;
    out[4] = options.alpha;
    out[5] = options.epsInside ? 0 : options.eps;
    out[6] = options.epsInside ? options.eps : 0;
    out[7] = options.momentum;
    out[8] = inside ? lr : 1;
    out[9] = inside ? 1 : lr;
  },
  update({ param, grad, slots }, s) {
    const gradScale = s[0];
    const l2 = s[2];
    const keep = s[3];
    const alpha = s[4];
    const eps = s[5];
    const epsRoot = s[6];
    const momentum = s[7];
    const inStep = s[8];
    const outStep = s[9];
    const { squareAvg, gradAvg, momentum: buffer } = slots;
    for (let i = 0; i < param.length; i++) {
      const g = gradScale * grad[i] + l2 * param[i];
      const square = alpha * squareAvg[i] + (1 - alpha) * g * g;
      squareAvg[i] = square;
      let variance = square;
      if (gradAvg !== undefined) {
        const average = alpha * gradAvg[i] + (1 - alpha) * g;
        gradAvg[i] = average;
        variance = Math.max(square - average * average, 0);
      }
      let direction = (inStep * g) / (Math.sqrt(variance + epsRoot) + eps);
      if (buffer !== undefined) {
        direction += momentum * buffer[i];
        buffer[i] = direction;
      }
      param[i] = keep * param[i] - outStep * direction;
    }
  },
  kernel({ centered, momentum }) {
    if (centered) return momentum > 0 ? 'rmspropCenteredMomentum' : 'rmspropCentered';
    return momentum > 0 ? 'rmspropMomentum' : 'rmsprop';
  },
  compat: {
    pytorch: {},
    keras: { lr: 0.001, alpha: 0.9, eps: 1e-7, epsInside: true, lrInMomentum: true, decoupled: true },
    optax: { alpha: 0.9, eps: 1e-8, epsInside: true, lrInMomentum: true },
  },
  about: {
    rule: 'v <- alpha v + (1 - alpha) g^2; p <- p - lr g / (sqrt(v) + eps)',
    when: 'recurrent networks, reinforcement learning, other objectives that change while they are trained',
    limits: 'no bias correction: large first steps; no momentum unless asked for',
    paper: 'Tieleman & Hinton, Coursera lecture 6.5, 2012; centered: Graves, arXiv:1308.0850',
  },
};

/** RMSprop, as `torch.optim.RMSprop`. */
export const rmsprop = (options: RmspropOptions = {}): OptimizerDescription => describe(RMSPROP, options);
