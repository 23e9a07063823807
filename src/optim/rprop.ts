/**
 * Rprop: each element has a step size of its own that follows the signs of its gradients; their sizes do not matter.
 *
 *     g_t = gradScale * gradient + weightDecay * p
 *     a = g_t * g_before:   a > 0: size <- min(size * etaPlus, maxStep)
 *                           a < 0: size <- max(size * etaMinus, minStep), and g_t counts as 0
 *     p <- p - sign(g_t) * size                             (size starts at lr)
 *
 * Paper: Riedmiller & Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", 1993; in the
 * form without going back (iRprop-, Igel & Huesken 2000).
 *
 * Defaults: lr 0.01, etas [0.5, 1.2], stepSizes [1e-6, 50], weightDecay 0 (PyTorch's). optax.rprop likewise.
 *
 * Traps: for full batches (`batchSize: 'full'`): with mini-batches signs flip by noise and all sizes shrink. lr is only the first
 * size; a schedule changes nothing.
 */
import { z } from 'zod';
import { BASE_SCALARS, baseScalars, type DecayOptions, decay, positive, unitInterval } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface RpropOptions extends CommonOptions, DecayOptions {
  /** First step size. Default 0.01. */
  readonly lr?: LearningRate;
  /** Factors for a changed (in (0, 1)) and an unchanged sign (> 1). Default [0.5, 1.2]. */
  readonly etas?: readonly [number, number];
  /** Smallest and largest step size, > 0. Default [1e-6, 50]. */
  readonly stepSizes?: readonly [number, number];
}

const options = z.strictObject({
  etas: z.tuple([unitInterval.gt(0), z.number().gt(1)]).default([0.5, 1.2]),
  stepSizes: z.tuple([positive, positive]).default([1e-6, 50]),
  ...decay(0, false),
});

export const RPROP: OptimizerDef<z.output<typeof options>> = {
  kind: 'rprop',
  options,
  defaultLr: 0.01,
  unit: 'element',
  slots: () => ({ before: {}, size: {} }),
  scalarNames: [...BASE_SCALARS, 'etaMinus', 'etaPlus', 'minStep', 'maxStep', 'sizeKeep', 'sizeStart'],
  scalars({ step, lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    out[4] = options.etas[0];
    out[5] = options.etas[1];
    out[6] = options.stepSizes[0];
    out[7] = options.stepSizes[1];
    out[8] = step === 1 ? 0 : 1;
    out[9] = step === 1 ? lr : 0;
  },
  update({ param, grad, slots: { before, size } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      const agreement = g * before[i];
      const factor = agreement > 0 ? s[5] : agreement < 0 ? s[4] : 1;
      size[i] = Math.min(Math.max((s[8] * size[i] + s[9]) * factor, s[6]), s[7]);
      before[i] = agreement < 0 ? 0 : g;
      param[i] = s[3] * param[i] - Math.sign(before[i]) * size[i];
    }
  },
  kernel: () => 'rprop',
  compat: { pytorch: {}, optax: {} },
  about: {
    rule: 'step size of an element * 1.2 while the sign of its gradient stays, * 0.5 when it changes; p <- p - sign(g) size',
    when: 'full batches of small data; no learning rate to tune',
    limits: 'full batches only: noise in the signs shrinks every step',
    paper: 'Riedmiller & Braun, ICNN 1993',
  },
};

/** Steps by the signs of the gradients, as `torch.optim.Rprop`. */
export const rprop = (options: RpropOptions = {}): OptimizerDescription => describe(RPROP, options);
