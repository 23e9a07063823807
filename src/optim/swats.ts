/**
 * SWATS: begins as Adam and switches to SGD with momentum when it knows that rate's size.
 *
 *     Adam phase, with step u_t = -lr m^ / (sqrt(v^) + eps):
 *         p <- p + u_t
 *         <u_t, g_t> != 0:  gamma = <u_t, u_t> / -<u_t, g_t>;   lambda <- beta2 lambda + (1 - beta2) gamma
 *                           switch when t > 1 and |lambda / (1 - beta2^t) - gamma| < tolerance;  rate L = lambda / (1 - beta2^t)
 *     SGD phase, from the next update on:
 *         b <- beta1 b + g_t;   p <- p - (1 - beta1) L lr / lr_switch b
 *
 * Paper: Keskar & Socher, "Improving Generalization Performance by Switching from Adam to SGD", arXiv:1712.07628, 2017.
 *
 * Defaults: lr 0.001, betas [0.9, 0.999], eps 1e-8, tolerance 1e-9 (the paper's), weightDecay 0. After the switch a schedule of lr
 * scales L by what it has changed since. None of PyTorch, Keras and optax has it.
 *
 * The two inner products run over all parameters (of a group), in block order and in f64: the same on any number of workers,
 * at the cost of one more barrier a step. gamma counts only when it is positive, as the paper's code has it.
 *
 * Traps: with tolerance 1e-9 and noisy gradients the switch may never come; it is absolute, in units of the SGD rate. The run
 * does not say when it switches, but its gradient norms and losses show it.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, baseScalars, betas, type DecayOptions, decay, eps, positive } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface SwatsOptions extends CommonOptions, DecayOptions {
  /** Of the Adam phase. Default 0.001. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** How near the estimate of the rate must be to its average, > 0. Default 1e-9. */
  readonly tolerance?: number;
}

const options = z.strictObject({
  betas: betas(0.9, 0.999),
  eps: eps(1e-8),
  tolerance: positive.default(1e-9),
  ...decay(0, false),
});

export const SWATS: OptimizerDef<z.output<typeof options>> = {
  kind: 'swats',
  options,
  defaultLr: 0.001,
  unit: 'element',
  slots: () => ({ m: {}, v: {}, buffer: {} }),
  /** `rate` is 0 until the switch; `lr` is that at the switch. */
  state: { lambda: 0, rate: 0, lr: 0 },
  measures: 2,
  measure({ param, grad, slots: { m, v } }, out, { step, lr, gradScale, options }, { rate }) {
    if (rate > 0) return;
    const { betas, eps, weightDecay, decoupled } = options;
    const stepSize = lr / (1 - pow(betas[0], step));
    const invSqrtBias2 = 1 / Math.sqrt(1 - pow(betas[1], step));
    const l2 = decoupled ? 0 : weightDecay;
    let squares = 0;
    let product = 0;
    for (let i = 0; i < param.length; i++) {
      const g = gradScale * grad[i] + l2 * param[i];
      const mean = m[i] + (1 - betas[0]) * (g - m[i]);
      const square = betas[1] * v[i] + (1 - betas[1]) * g * g;
      const u = (-stepSize * mean) / (Math.sqrt(square) * invSqrtBias2 + eps);
      squares += u * u;
      product += u * g;
    }
    out[0] += squares;
    out[1] += product;
  },
  scalarNames: [
    ...BASE_SCALARS,
    ...['beta1', 'beta2', 'eps', 'adamStep', 'invSqrtBias2', 'bufferKeep', 'bufferGain', 'sgdStep'],
  ],
  scalars({ step, lr, gradScale, options }, out, state, [squares, product]) {
    const { betas, eps, tolerance } = options;
    const adam = state.rate === 0;
    baseScalars(out, gradScale, lr, options);
    out[4] = betas[0];
    out[5] = betas[1];
    out[6] = eps;
    out[7] = adam ? lr / (1 - pow(betas[0], step)) : 0;
    out[8] = 1 / Math.sqrt(1 - pow(betas[1], step));
    out[9] = adam ? 0 : betas[0];
    out[10] = adam ? 0 : 1;
    out[11] = adam || state.lr === 0 ? 0 : ((1 - betas[0]) * state.rate * lr) / state.lr;
    if (!adam || !(product < 0)) return;
    const gamma = squares / -product;
    state.lambda = betas[1] * state.lambda + (1 - betas[1]) * gamma;
    const average = state.lambda / (1 - pow(betas[1], step));
    if (step > 1 && Math.abs(average - gamma) < tolerance) {
      state.rate = average;
      state.lr = lr;
    }
  },
  update({ param, grad, slots: { m, v, buffer } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      m[i] += (1 - s[4]) * (g - m[i]);
      v[i] = s[5] * v[i] + (1 - s[5]) * g * g;
      buffer[i] = s[9] * buffer[i] + s[10] * g;
      param[i] = s[3] * param[i] - (s[7] * m[i]) / (Math.sqrt(v[i]) * s[8] + s[6]) - s[11] * buffer[i];
    }
  },
  kernel: () => 'swats',
  about: {
    rule: "Adam until its step's projection on the gradient settles, then SGD with momentum at that rate",
    when: "to have Adam's start and SGD's generalisation without tuning SGD's rate",
    limits: 'the switch depends on tolerance and may not come; one more barrier a step',
    paper: 'Keskar & Socher, arXiv:1712.07628',
  },
};

/** Adam that switches to SGD by itself. */
export const swats = (options: SwatsOptions = {}): OptimizerDescription => describe(SWATS, options);
