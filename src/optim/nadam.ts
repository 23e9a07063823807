/**
 * NAdam and NAdamW: Adam with Nesterov's momentum.
 *
 *     mu_t = beta1 * (1 - 0.5 * 0.96^(t * momentumDecay))   (momentumSchedule 'constant': mu_t = beta1)
 *     m <- m + (1 - beta1) * (g_t - m);  v <- beta2 * v + (1 - beta2) * g_t^2
 *     m^ = mu_(t+1) / (1 - prod_(i<=t+1) mu_i) * m + (1 - mu_t) / (1 - prod_(i<=t) mu_i) * g_t
 *     p <- p - lr * m^ / (sqrt(v / (1 - beta2^t)) + eps)
 *     nadam: weightDecay * p is part of g_t.   nadamw: p <- p (1 - lr weightDecay) before.
 *
 * Paper: Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop 2016.
 *
 * Defaults: lr 0.002, betas [0.9, 0.999], eps 1e-8, momentumDecay 0.004, weightDecay 0 (nadam) or 0.01 (nadamw): those of
 * PyTorch (nadamw: its `decoupled_weight_decay`). Keras: lr 0.001, epsilon 1e-7, momentumDecay 1 (its schedule is 0.96^t),
 * decoupled decay. optax keeps mu constant; its nadamw has weight_decay 1e-4.
 *
 * PyTorch 1.13 multiplies mu_t into its running product twice in the first of the two coefficients (fixed later), so its
 * numbers are not NAdam's; the golden values here come from an f64 implementation of the paper in the test.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, baseScalars, betas, type DecayOptions, decay, eps, notNegative } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface NadamOptions extends CommonOptions, DecayOptions {
  /** Default 0.002. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** How fast the momentum approaches beta1, >= 0. Default 0.004. */
  readonly momentumDecay?: number;
  /** 'dozat': the paper's; 'constant': beta1 throughout. Default 'dozat'. */
  readonly momentumSchedule?: 'dozat' | 'constant';
}

const optionsWith = (weightDecay: number, decoupled: boolean) =>
  z.strictObject({
    betas: betas(0.9, 0.999),
    eps: eps(1e-8),
    momentumDecay: notNegative.default(0.004),
    momentumSchedule: z.enum(['dozat', 'constant']).default('dozat'),
    ...decay(weightDecay, decoupled),
  });
type Resolved = z.output<ReturnType<typeof optionsWith>>;

function momentumAt({ betas, momentumDecay, momentumSchedule }: Resolved, step: number): number {
  return momentumSchedule === 'constant' ? betas[0] : betas[0] * (1 - 0.5 * pow(0.96, step * momentumDecay));
}

const rule = {
  defaultLr: 0.002,
  unit: 'element',
  slots: () => ({ m: {}, v: {} }),
  state: { product: 1 },
  scalarNames: [...BASE_SCALARS, 'beta1', 'beta2', 'eps', 'gradStep', 'meanStep', 'invSqrtBias2'],
  scalars({ step, lr, gradScale, options }, out, state) {
    baseScalars(out, gradScale, lr, options);
    const now = momentumAt(options, step);
    const next = momentumAt(options, step + 1);
    state.product *= now;
    out[4] = options.betas[0];
    out[5] = options.betas[1];
    out[6] = options.eps;
    out[7] = (lr * (1 - now)) / (1 - state.product);
    out[8] = (lr * next) / (1 - state.product * next);
    out[9] = 1 / Math.sqrt(1 - pow(options.betas[1], step));
  },
  update({ param, grad, slots: { m, v } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      m[i] += (1 - s[4]) * (g - m[i]);
      v[i] = s[5] * v[i] + (1 - s[5]) * g * g;
      param[i] = s[3] * param[i] - (s[7] * g + s[8] * m[i]) / (Math.sqrt(v[i]) * s[9] + s[6]);
    }
  },
  kernel: () => 'nadam',
} satisfies Partial<OptimizerDef<Resolved>>;

const paper = 'Dozat, Incorporating Nesterov Momentum into Adam, ICLR workshop 2016';

export const NADAM: OptimizerDef<Resolved> = {
  ...rule,
  kind: 'nadam',
  options: optionsWith(0, false),
  compat: {
    pytorch: {},
    keras: { lr: 0.001, eps: 1e-7, momentumDecay: 1, decoupled: true },
    optax: { momentumSchedule: 'constant' },
  },
  about: {
    rule: "Adam's step with m^ looking one step ahead",
    when: 'where Adam works and a little more speed is wanted at the beginning',
    limits: 'those of Adam; more sensitive to lr',
    paper,
  },
};

export const NADAMW: OptimizerDef<Resolved> = {
  ...rule,
  kind: 'nadamw',
  options: optionsWith(0.01, true),
  compat: {
    pytorch: {},
    keras: { lr: 0.001, eps: 1e-7, momentumDecay: 1 },
    optax: { momentumSchedule: 'constant', weightDecay: 1e-4 },
  },
  about: {
    rule: "p <- p (1 - lr weightDecay), then NAdam's step",
    when: 'the strongest plain baseline of the AlgoPerf benchmark: where AdamW works',
    limits: 'those of AdamW',
    paper,
  },
};

/** Adam with Nesterov momentum; its weight decay is an L2 penalty. */
export const nadam = (options: NadamOptions = {}): OptimizerDescription => describe(NADAM, options);
/** NAdam with decoupled weight decay. */
export const nadamw = (options: NadamOptions = {}): OptimizerDescription => describe(NADAMW, options);
