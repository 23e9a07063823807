/**
 * Prodigy: Adam that estimates its own learning rate from how far it has come.
 *
 *     d = d0 at first; with b3 = sqrt(beta2), p0 the initial parameters, lr a factor (leave it at 1):
 *     r <- b3 r + (1 - b3) lr d^2 <g_t, p0 - p>
 *     s <- b3 s + (1 - b3) lr d^2 g_t
 *     m <- beta1 m + (1 - beta1) d g_t;   v <- beta2 v + (1 - beta2) d^2 g_t^2
 *     p <- p (1 - lr d weightDecay) - lr d m / (sqrt(v) + d eps)
 *     d <- max(d, min(growthRate d, dCoef r / |s|_1))
 *
 * Paper: Mishchenko & Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", arXiv:2306.06101, algorithm 4.
 *
 * Defaults: lr 1, betas [0.9, 0.999], eps 1e-8, d0 1e-6, dCoef 1, growthRate infinite, weightDecay 0, decoupled (the authors').
 * As in algorithm 4 the step uses the d of before; the authors' code and optax.contrib take the new one in `d * eps` only.
 * biasCorrection: lr is multiplied by sqrt(1 - beta2^t) / (1 - beta1^t) wherever it stands, as an option of their code does (and optax
 * always); default false. Neither PyTorch nor Keras has it.
 *
 * The two sums run over all parameters (of a group), in block order and in f64: the same on any number of workers. They cost
 * one more barrier a step.
 *
 * Traps: three slots and the initial parameters, 16 bytes a parameter. lr other than 1 only for schedules: cosineDecay({ initial: 1 }).
 * With a constant rate the steps do not shrink at the end.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, betas, type DecayOptions, decay, eps, positive } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface ProdigyOptions extends CommonOptions, DecayOptions {
  /** A factor. Default 1. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** First estimate of the distance, > 0. Default 1e-6. */
  readonly d0?: number;
  /** Factor of the estimate, > 0. Default 1. */
  readonly dCoef?: number;
  /** Largest growth of the estimate in an update, > 1. Default: no limit. */
  readonly growthRate?: number;
  /** Default false. */
  readonly biasCorrection?: boolean;
}

const options = z.strictObject({
  betas: betas(0.9, 0.999),
  eps: eps(1e-8),
  d0: positive.default(1e-6),
  dCoef: positive.default(1),
  growthRate: z.number().gt(1).optional(),
  biasCorrection: z.boolean().default(false),
  ...decay(0, true),
});
type Resolved = z.output<typeof options>;

/** lr, corrected where that is asked for. */
const rateOf = (lr: number, step: number, { betas, biasCorrection }: Resolved): number =>
  biasCorrection ? (lr * Math.sqrt(1 - pow(betas[1], step))) / (1 - pow(betas[0], step)) : lr;

/** r and s of the update to come have this factor before <g, p0 - p> and g. */
const gain = (rate: number, d: number, { betas }: Resolved): number => (1 - Math.sqrt(betas[1])) * rate * d * d;

export const PRODIGY: OptimizerDef<Resolved> = {
  kind: 'prodigy',
  options,
  defaultLr: 1,
  unit: 'element',
  slots: () => ({ m: {}, v: {}, signed: {}, start: { init: 'parameter' } }),
  /** `growth` is d / d0. */
  state: { growth: 1, r: 0 },
  measures: 2,
  measure({ param, grad, slots: { signed, start } }, out, { step, lr, gradScale, options }, { growth }) {
    const keep = Math.sqrt(options.betas[1]);
    const factor = gain(rateOf(lr, step, options), options.d0 * growth, options);
    const l2 = options.decoupled ? 0 : options.weightDecay;
    let distance = 0;
    let norm = 0;
    for (let i = 0; i < param.length; i++) {
      const g = gradScale * grad[i] + l2 * param[i];
      distance += g * (start[i] - param[i]);
      norm += Math.abs(keep * signed[i] + factor * g); // what `update` will write: measure only reads
    }
    out[0] += distance;
    out[1] += norm;
  },
  scalarNames: [
    ...BASE_SCALARS,
    ...['beta1', 'gain1', 'beta2', 'gain2', 'dEps', 'stepSize', 'keepSigned', 'gainSigned'],
  ],
  scalars({ step, lr, gradScale, options }, out, state, sums) {
    const { betas, eps, weightDecay, decoupled, d0, dCoef, growthRate = Number.POSITIVE_INFINITY } = options;
    const d = d0 * state.growth;
    const rate = rateOf(lr, step, options);
    out[0] = gradScale;
    out[1] = lr;
    out[2] = decoupled ? 0 : weightDecay;
    out[3] = decoupled ? 1 - rate * d * weightDecay : 1;
    out[4] = betas[0];
    out[5] = (1 - betas[0]) * d;
    out[6] = betas[1];
    out[7] = (1 - betas[1]) * d * d;
    out[8] = d * eps;
    out[9] = rate * d;
    out[10] = Math.sqrt(betas[1]);
    out[11] = gain(rate, d, options);
    state.r = Math.sqrt(betas[1]) * state.r + out[11] * sums[0];
    if (sums[1] > 0) {
      const estimate = (dCoef * state.r) / sums[1];
      state.growth = Math.max(state.growth, Math.min(state.growth * growthRate, estimate / d0));
    }
  },
  update({ param, grad, slots: { m, v, signed } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      m[i] = s[4] * m[i] + s[5] * g;
      v[i] = s[6] * v[i] + s[7] * g * g;
      signed[i] = s[10] * signed[i] + s[11] * g;
      param[i] = s[3] * param[i] - (s[9] * m[i]) / (Math.sqrt(v[i]) + s[8]);
    }
  },
  kernel: () => 'prodigy',
  about: {
    rule: 'Adam with lr d, d an estimate of the distance to the solution that only grows',
    when: 'no learning rate to tune: fine-tuning, first runs on a new model',
    limits: '16 bytes a parameter of state; one more barrier a step; pair it with a decaying schedule',
    paper: 'Mishchenko & Defazio, arXiv:2306.06101',
  },
};

/** Adam that finds its learning rate. */
export const prodigy = (options: ProdigyOptions = {}): OptimizerDescription => describe(PRODIGY, options);
