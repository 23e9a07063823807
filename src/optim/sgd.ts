/**
 * Stochastic gradient descent, with momentum and with Nesterov's momentum.
 *
 *     g_t = gradScale * gradient + weightDecay * p          (L2 penalty, coupled)
 *     plain:     p <- p - lr * g_t
 *     momentum:  b <- momentum * b + (1 - dampening) * g_t  (first update: b = g_t)
 *                p <- p - lr * b
 *     nesterov:  p <- p - lr * (g_t + momentum * b)         (b as above, dampening 0)
 *
 * Papers: Robbins & Monro 1951; Polyak 1964 (heavy ball); Nesterov 1983 in the form of Sutskever et al., "On the importance of
 * initialization and momentum in deep learning", ICML 2013.
 *
 * Defaults: `sgd` momentum 0, dampening 0, weightDecay 0; `momentum` and `nesterov` momentum 0.9. lr has no default.
 *
 * PyTorch (`torch.optim.SGD`): the same rule and names; golden values in test/golden. Keras keeps the velocity v = -lr * b in
 * its buffer, so a change of lr acts there on the old velocity only from the next gradient on, while here (and in PyTorch)
 * it rescales the whole step at once: under a schedule the two differ. Keras has no dampening.
 *
 * Traps: dampening does not apply to the first update (PyTorch starts the buffer with the gradient itself). With momentum mu the
 * steady step is lr / (1 - mu) times the gradient: going from 0 to 0.9 wants a tenth of the lr. Weight decay is part of
 * the gradient and therefore of the momentum; clipping is done before it.
 */
import { type ZodType, z } from 'zod';
import type { OptimizerDef, OptimizerDescription, SlotSpec } from './contract.ts';
import { describe, type LearningRate } from './description.ts';

export interface SgdOptions {
  readonly lr: LearningRate;
  /** In [0, 1). Default 0: no buffer. */
  readonly momentum?: number;
  /** In [0, 1]: the new gradient enters the buffer times 1 - dampening. Default 0. */
  readonly dampening?: number;
  /** Needs momentum > 0 and dampening 0. Default false. */
  readonly nesterov?: boolean;
  /** L2 penalty, >= 0. Default 0. */
  readonly weightDecay?: number;
}

export interface MomentumOptions {
  readonly lr: LearningRate;
  /** In [0, 1). Default 0.9. */
  readonly momentum?: number;
  /** In [0, 1]. Default 0. */
  readonly dampening?: number;
  /** L2 penalty, >= 0. Default 0. */
  readonly weightDecay?: number;
}

export interface NesterovOptions {
  readonly lr: LearningRate;
  /** In (0, 1). Default 0.9. */
  readonly momentum?: number;
  /** L2 penalty, >= 0. Default 0. */
  readonly weightDecay?: number;
}

/** What all three kinds come down to. */
interface Resolved {
  momentum: number;
  dampening: number;
  nesterov: boolean;
  weightDecay: number;
}

const momentumRange = z.number().min(0).lt(1);
const dampeningRange = z.number().min(0).max(1);
const weightDecayRange = z.number().min(0);

const sgdOptions: ZodType<Resolved> = z
  .strictObject({
    momentum: momentumRange.default(0),
    dampening: dampeningRange.default(0),
    nesterov: z.boolean().default(false),
    weightDecay: weightDecayRange.default(0),
  })
  .refine((o) => !o.nesterov || (o.momentum > 0 && o.dampening === 0), {
    path: ['nesterov'],
    message: 'true only with momentum > 0 and dampening 0',
  });

const momentumOptions = z
  .strictObject({
    momentum: momentumRange.default(0.9),
    dampening: dampeningRange.default(0),
    weightDecay: weightDecayRange.default(0),
  })
  .transform((o): Resolved => ({ ...o, nesterov: false }));

const nesterovOptions = z
  .strictObject({ momentum: momentumRange.gt(0).default(0.9), weightDecay: weightDecayRange.default(0) })
  .transform((o): Resolved => ({ ...o, nesterov: true, dampening: 0 }));

/** The one rule behind the three kinds. */
const rule = {
  unit: 'element',
  slots: ({ momentum }): Record<string, SlotSpec> => (momentum > 0 ? { momentum: {} } : {}),
  scalarNames: ['gradScale', 'lr', 'weightDecay', 'momentum', 'dampeningFactor'],
  scalars({ step, lr, gradScale, options }, out) {
    out[0] = gradScale;
    out[1] = lr;
    out[2] = options.weightDecay;
    out[3] = options.momentum;
    out[4] = step === 1 ? 1 : 1 - options.dampening;
  },
  update({ param, grad, slots }, s, { nesterov }) {
    const gradScale = s[0];
    const lr = s[1];
    const weightDecay = s[2];
    const momentum = s[3];
    const dampeningFactor = s[4];
    const buffer = slots.momentum;
    for (let i = 0; i < param.length; i++) {
      const g = gradScale * grad[i] + weightDecay * param[i];
      if (buffer === undefined) {
        param[i] -= lr * g;
        continue;
      }
      const b = momentum * buffer[i] + dampeningFactor * g;
      buffer[i] = b;
      param[i] -= lr * (nesterov ? g + momentum * b : b);
    }
  },
  kernel({ momentum, nesterov }) {
    if (momentum === 0) return 'sgd';
    return nesterov ? 'nesterov' : 'momentum';
  },
} satisfies Omit<OptimizerDef<Resolved>, 'kind' | 'options'>;

export const SGD: OptimizerDef<Resolved> = { ...rule, kind: 'sgd', options: sgdOptions };
export const MOMENTUM: OptimizerDef<Resolved> = { ...rule, kind: 'momentum', options: momentumOptions };
export const NESTEROV: OptimizerDef<Resolved> = { ...rule, kind: 'nesterov', options: nesterovOptions };

/** Stochastic gradient descent, as `torch.optim.SGD`. */
export const sgd = (options: SgdOptions): OptimizerDescription => describe(SGD, options);
/** Gradient descent with momentum 0.9: `sgd` with another default. */
export const momentum = (options: MomentumOptions): OptimizerDescription => describe(MOMENTUM, options);
/** Gradient descent with Nesterov's momentum 0.9. */
export const nesterov = (options: NesterovOptions): OptimizerDescription => describe(NESTEROV, options);
