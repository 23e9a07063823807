/**
 * Stochastic gradient descent, with momentum and with Nesterov's momentum.
 *
 *     g_t = gradScale * gradient + weightDecay * p          (L2 penalty; decoupled: p <- p (1 - lr weightDecay) instead)
 *     plain:     p <- p - lr * g_t
 *     momentum:  b <- momentum * b + (1 - dampening) * g_t  (first update: b = g_t)
 *                p <- p - lr * b
 *     nesterov:  p <- p - lr * (g_t + momentum * b)         (b as above, dampening 0)
 *     lrInMomentum:  b <- momentum * b + lr * g_t,  p <- p - b  (Nesterov: p - lr * g_t - momentum * b)
 *     momentumAfter n:  the first n updates have momentum 0 and b = g_t
 *
 * Papers: Robbins & Monro 1951; Polyak 1964 (heavy ball); Nesterov 1983 in the form of Sutskever et al., "On the importance of
 * initialization and momentum in deep learning", ICML 2013.
 *
 * Defaults: `sgd` momentum 0, dampening 0, weightDecay 0; `momentum` and `nesterov` momentum 0.9. lr has no default.
 *
 * PyTorch (`torch.optim.SGD`) and optax: the same rule; golden values in test/golden. Keras keeps the velocity -lr * b in its
 * buffer, so a change of lr acts there on the old velocity only from the next gradient on, while here (and in PyTorch)
 * it rescales the whole step at once: under a schedule the two differ (`lrInMomentum`, `compat: 'keras'`). Keras has no
 * dampening, optax neither. Keras takes the weight decay of all its optimizers off the parameter, outside the momentum
 * (`decoupled`; SGDW of Loshchilov & Hutter); `compat: 'keras'` sets it everywhere.
 *
 * Traps: dampening does not apply to the first update (PyTorch starts the buffer with the gradient itself). With momentum mu the
 * steady step is lr / (1 - mu) times the gradient: going from 0 to 0.9 wants a tenth of the lr. Coupled weight decay is part of
 * the gradient and therefore of the momentum; clipping is done before it.
 */
import { type ZodType, z } from 'zod';
import { BASE_SCALARS, baseScalars, type DecayOptions, decay, unitInterval } from './common.ts';
import type { OptimizerAbout, OptimizerDef, OptimizerDescription, SlotSpec } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

interface ScheduledMomentum {
  /** The learning rate enters the buffer with the gradient, as in Keras, instead of scaling the whole step. Default false. */
  readonly lrInMomentum?: boolean;
  /** The first so many updates are without momentum. Default 0. */
  readonly momentumAfter?: number;
}

export interface SgdOptions extends CommonOptions, DecayOptions, ScheduledMomentum {
  readonly lr: LearningRate;
  /** In [0, 1). Default 0: no buffer. */
  readonly momentum?: number;
  /** In [0, 1]: the new gradient enters the buffer times 1 - dampening. Default 0. */
  readonly dampening?: number;
  /** Needs momentum > 0 and dampening 0. Default false. */
  readonly nesterov?: boolean;
}

export interface MomentumOptions extends CommonOptions, DecayOptions, ScheduledMomentum {
  readonly lr: LearningRate;
  /** In [0, 1). Default 0.9. */
  readonly momentum?: number;
  /** In [0, 1]. Default 0. */
  readonly dampening?: number;
}

export interface NesterovOptions extends CommonOptions, DecayOptions, ScheduledMomentum {
  readonly lr: LearningRate;
  /** In (0, 1). Default 0.9. */
  readonly momentum?: number;
}

/** What all three kinds come down to. */
interface Resolved {
  momentum: number;
  dampening: number;
  nesterov: boolean;
  weightDecay: number;
  decoupled: boolean;
  lrInMomentum: boolean;
  momentumAfter?: number | undefined;
}

const dampeningRange = z.number().min(0).max(1);
const shared = {
  ...decay(0, false),
  lrInMomentum: z.boolean().default(false),
  momentumAfter: z.int().min(0).optional(),
};

const sgdOptions: ZodType<Resolved> = z
  .strictObject({
    momentum: unitInterval.default(0),
    dampening: dampeningRange.default(0),
    nesterov: z.boolean().default(false),
    ...shared,
  })
  .refine((o) => !o.nesterov || (o.momentum > 0 && o.dampening === 0), {
    path: ['nesterov'],
    message: 'true only with momentum > 0 and dampening 0',
  });

const momentumOptions = z
  .strictObject({ momentum: unitInterval.default(0.9), dampening: dampeningRange.default(0), ...shared })
  .transform((o): Resolved => ({ ...o, nesterov: false }));

const nesterovOptions = z
  .strictObject({ momentum: unitInterval.gt(0).default(0.9), ...shared })
  .transform((o): Resolved => ({ ...o, nesterov: true, dampening: 0 }));

/** The one rule behind the three kinds. */
const rule = {
  unit: 'element',
  proportional: true,
  slots: ({ momentum }): Record<string, SlotSpec> => (momentum > 0 ? { momentum: {} } : {}),
  scalarNames: [...BASE_SCALARS, 'momentum', 'dampeningFactor', 'gradStep', 'bufferStep'],
  scalars({ step, lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    const { nesterov, lrInMomentum, momentumAfter = 0 } = options;
    const begins = step <= Math.max(1, momentumAfter);
    const momentum = step <= momentumAfter ? 0 : options.momentum;
    out[4] = momentum;
    out[5] = (begins ? 1 : 1 - options.dampening) * (lrInMomentum ? lr : 1);
    out[6] = nesterov ? lr : 0;
    out[7] = (nesterov ? momentum : 1) * (lrInMomentum ? 1 : lr);
  },
  update({ param, grad, slots }, s) {
    const gradScale = s[0];
    const lr = s[1];
    const l2 = s[2];
    const keep = s[3];
    const momentum = s[4];
    const dampeningFactor = s[5];
    const gradStep = s[6];
    const bufferStep = s[7];
    const buffer = slots.momentum;
    for (let i = 0; i < param.length; i++) {
      const g = gradScale * grad[i] + l2 * param[i];
      if (buffer === undefined) {
        param[i] = keep * param[i] - lr * g;
        continue;
      }
      const b = momentum * buffer[i] + dampeningFactor * g;
      buffer[i] = b;
      param[i] = keep * param[i] - (gradStep * g + bufferStep * b);
    }
  },
  kernel({ momentum, nesterov }) {
    if (momentum === 0) return 'sgd';
    return nesterov ? 'nesterov' : 'momentum';
  },
  sparseUpdate({ param, width, ids, grad }, s) {
    for (let row = 0; row < ids.length; row++) {
      for (let j = 0; j < width; j++) param[ids[row] * width + j] -= s[1] * s[0] * grad[row * width + j];
    }
  },
  sparseIsDense: true,
  // Momentum and decay move rows that have no gradient.
  sparseKernel: ({ momentum, weightDecay }) => (momentum === 0 && weightDecay === 0 ? 'sgdRows' : undefined),
} satisfies Omit<OptimizerDef<Resolved>, 'kind' | 'options'>;

const sameRule = { pytorch: {}, keras: { lrInMomentum: true, decoupled: true }, optax: {} };

export const SGD: OptimizerDef<Resolved> = {
  ...rule,
  kind: 'sgd',
  options: sgdOptions,
  compat: sameRule,
  about: {
    rule: 'p <- p - lr g',
    when: 'a baseline; convex problems; where generalisation matters more than time and lr can be tuned',
    limits: 'one rate for all parameters: slow in ravines, sensitive to the scale of features and to lr',
    paper: 'Robbins & Monro, A Stochastic Approximation Method, 1951',
  },
};

const withMomentum = (rule: string, paper: string): OptimizerAbout => ({
  rule,
  when: 'convolutional networks with a tuned schedule; ravines, where plain descent zigzags',
  limits: 'one rate for all parameters; overshoots when lr / (1 - momentum) is large',
  paper,
});

export const MOMENTUM: OptimizerDef<Resolved> = {
  ...rule,
  kind: 'momentum',
  options: momentumOptions,
  compat: sameRule,
  about: withMomentum(
    'b <- momentum b + g; p <- p - lr b',
    'Polyak, Some methods of speeding up the convergence of iteration methods, 1964',
  ),
};

export const NESTEROV: OptimizerDef<Resolved> = {
  ...rule,
  kind: 'nesterov',
  options: nesterovOptions,
  compat: sameRule,
  about: withMomentum(
    'b <- momentum b + g; p <- p - lr (g + momentum b)',
    'Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013',
  ),
};

/** Stochastic gradient descent, as `torch.optim.SGD`. */
export const sgd = (options: SgdOptions): OptimizerDescription => describe(SGD, options);
/** Gradient descent with momentum 0.9: `sgd` with another default. */
export const momentum = (options: MomentumOptions): OptimizerDescription => describe(MOMENTUM, options);
/** Gradient descent with Nesterov's momentum 0.9. */
export const nesterov = (options: NesterovOptions): OptimizerDescription => describe(NESTEROV, options);
