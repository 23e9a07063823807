/**
 * Schedule-Free SGD and AdamW: an average of the path in place of a decaying learning rate.
 *
 *     gradients are taken at y, which is what is trained; z is the fast sequence, x the average
 *     w_t = t^r * (largest lr so far)^2,   c_t = w_t / (w_1 + ... + w_t)
 *     d_t = g_t + weightDecay * y                                        (sgd)
 *     d_t = g_t / (sqrt(v / (1 - beta2^t)) + eps) + weightDecay * y      (adamw; v the running mean of g^2)
 *     z <- z - lr d_t;   x <- (1 - c_t) x + c_t z;   y <- (1 - beta) z + beta x
 *     in terms of y alone:  y <- y + c_t (z - y) + lr (beta (1 - c_t) - 1) d_t   (z before its step)
 *     evaluates x = (y - (1 - beta) z) / beta
 *
 * Paper: Defazio et al., "The Road Less Scheduled", arXiv:2405.15682, 2024; the form in y is that of the authors' code.
 *
 * Defaults: beta 0.9, weightDecay 0; adamw lr 0.0025, betas [0.9, 0.999], eps 1e-8, weightDecay 0.01; r 0.
 *
 * Neither PyTorch nor Keras has it; optax.contrib.schedule_free wraps other optimizers (its AdamW: no decay). The authors' warmupSteps
 * option is a schedule here: lr: warmup({ steps: 100, after: 0.0025 }).
 *
 * Traps: no decaying schedule, only a warm-up. lr is larger than usual: 1 to 10 times for adamw, 10 to 50 times for sgd.
 * Statistics that layers keep themselves (batch norm) belong to y, not to x.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, betas, eps, notNegative, unitInterval } from './common.ts';
import type { FloatArray, OptimizerDef, OptimizerDescription, View } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface ScheduleFreeSgdOptions extends CommonOptions {
  readonly lr: LearningRate;
  /** How near y stays to the average, in (0, 1). Default 0.9. */
  readonly beta?: number;
  /** At y, >= 0. Default 0. */
  readonly weightDecay?: number;
  /** Power of t in the weights of the average, >= 0. Default 0. */
  readonly r?: number;
}

export interface ScheduleFreeAdamwOptions extends CommonOptions {
  /** Default 0.0025. */
  readonly lr?: LearningRate;
  /** How near y stays to the average, in (0, 1), and the decay of the mean square. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** At y, decoupled, >= 0. Default 0.01. */
  readonly weightDecay?: number;
  /** Power of t in the weights of the average, >= 0. Default 0. */
  readonly r?: number;
}

const sgdOptions = z.strictObject({
  beta: unitInterval.gt(0).default(0.9),
  weightDecay: notNegative.default(0),
  r: notNegative.default(0),
});
const adamwOptions = z.strictObject({
  betas: betas(0.9, 0.999).refine(([beta]) => beta > 0, { path: [0], message: 'a number > 0' }),
  eps: eps(1e-8),
  weightDecay: notNegative.default(0.01),
  r: notNegative.default(0),
});

const state = { weights: 0, largestLr: 0 };

/** c_t: the weight of z in the average after this update. */
function share(step: number, lr: number, r: number, state: Record<string, number>): number {
  state.largestLr = Math.max(state.largestLr, lr);
  const weight = pow(step, r) * state.largestLr * state.largestLr;
  state.weights += weight;
  return state.weights > 0 ? weight / state.weights : 0;
}

function average({ param, slots: { z } }: View, out: FloatArray, beta: number): void {
  for (let i = 0; i < param.length; i++) out[i] = (param[i] - (1 - beta) * z[i]) / beta;
}

export const SCHEDULE_FREE_SGD: OptimizerDef<z.output<typeof sgdOptions>> = {
  kind: 'scheduleFreeSgd',
  options: sgdOptions,
  unit: 'element',
  slots: () => ({ z: { init: 'parameter' } }),
  state,
  scalarNames: [...BASE_SCALARS, 'towardsZ', 'yStep'],
  scalars({ step, lr, gradScale, options }, out, state) {
    const c = share(step, lr, options.r, state);
    out[0] = gradScale;
    out[1] = lr;
    out[2] = options.weightDecay;
    out[3] = 1;
    out[4] = c;
    out[5] = lr * (options.beta * (1 - c) - 1);
  },
  update({ param, grad, slots: { z } }, s) {
    for (let i = 0; i < param.length; i++) {
      const d = s[0] * grad[i] + s[2] * param[i];
      param[i] += s[4] * (z[i] - param[i]) + s[5] * d;
      z[i] -= s[1] * d;
    }
  },
  kernel: () => 'scheduleFreeSgd',
  compat: { optax: {} },
  evalParameters: (view, out, { beta }) => average(view, out, beta),
  about: {
    rule: 'z <- z - lr g(y); x <- running mean of z; y = (1 - beta) z + beta x; evaluates x',
    when: 'runs whose length is not known beforehand: no schedule to plan',
    limits: 'needs a warm-up and a larger lr than SGD; parameters in training are not those to be used',
    paper: 'Defazio et al., arXiv:2405.15682',
  },
};

export const SCHEDULE_FREE_ADAMW: OptimizerDef<z.output<typeof adamwOptions>> = {
  kind: 'scheduleFreeAdamw',
  options: adamwOptions,
  defaultLr: 0.0025,
  unit: 'element',
  slots: () => ({ z: { init: 'parameter' }, v: {} }),
  state,
  scalarNames: [...BASE_SCALARS, 'towardsZ', 'yStep', 'beta2', 'eps', 'invSqrtBias2'],
  scalars({ step, lr, gradScale, options }, out, state) {
    const c = share(step, lr, options.r, state);
    out[0] = gradScale;
    out[1] = lr;
    out[2] = options.weightDecay;
    out[3] = 1;
    out[4] = c;
    out[5] = lr * (options.betas[0] * (1 - c) - 1);
    out[6] = options.betas[1];
    out[7] = options.eps;
    out[8] = 1 / Math.sqrt(1 - pow(options.betas[1], step));
  },
  update({ param, grad, slots: { z, v } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i];
      v[i] = s[6] * v[i] + (1 - s[6]) * g * g;
      const d = g / (Math.sqrt(v[i]) * s[8] + s[7]) + s[2] * param[i];
      param[i] += s[4] * (z[i] - param[i]) + s[5] * d;
      z[i] -= s[1] * d;
    }
  },
  kernel: () => 'scheduleFreeAdamw',
  compat: { optax: { weightDecay: 0 } },
  evalParameters: (view, out, { betas }) => average(view, out, betas[0]),
  about: {
    rule: "z <- z - lr Adam's direction at y; x <- running mean of z; y = (1 - beta1) z + beta1 x; evaluates x",
    when: 'as AdamW, when the length of the run is not known beforehand',
    limits: 'needs a warm-up; parameters in training are not those to be used',
    paper: 'Defazio et al., arXiv:2405.15682',
  },
};

/** Gradient descent without a schedule. */
export const scheduleFreeSgd = (options: ScheduleFreeSgdOptions): OptimizerDescription =>
  describe(SCHEDULE_FREE_SGD, options);
/** AdamW without a schedule. */
export const scheduleFreeAdamw = (options: ScheduleFreeAdamwOptions = {}): OptimizerDescription =>
  describe(SCHEDULE_FREE_ADAMW, options);
