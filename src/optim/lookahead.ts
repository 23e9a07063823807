/**
 * Lookahead: slow weights that follow the fast ones of any optimizer.
 *
 *     the base updates p; every k updates:   a <- a + alpha (p - a),   p <- a
 *
 * Paper: Zhang, Lucas, Hinton & Ba, "Lookahead Optimizer: k steps forward, 1 step back", arXiv:1907.08610, 2019.
 *
 * Defaults: k 5, alpha 0.5 (the paper's and optax's are 5 or 6 and 0.5). The state of the base goes on at a synchronisation (the
 * paper's "maintain"). Evaluation and the final parameters use the slow weights.
 *
 * Traps: the effective learning rate falls to about alpha times the base's; a run whose length is no multiple of k ends with
 * slow weights that are up to k - 1 updates old.
 */
import { z } from 'zod';
import type { OptimizerDescription } from './contract.ts';
import { delegate, describeWrapped, type OptimizerWrapper } from './wrapper.ts';

export interface LookaheadOptions {
  /** Updates between two synchronisations, >= 1. Default 5. */
  readonly k?: number;
  /** Share of the way that the slow weights go, in (0, 1]. Default 0.5. */
  readonly alpha?: number;
}

const options = z.strictObject({ k: z.int().min(1).default(5), alpha: z.number().gt(0).max(1).default(0.5) });

export const LOOKAHEAD: OptimizerWrapper<z.output<typeof options>> = {
  kind: 'lookahead',
  options,
  about: {
    rule: 'every k updates of the base: slow <- slow + alpha (p - slow); p <- slow',
    when: 'to steady an optimizer whose lr is a little too large',
    limits: 'slower per update; one more vector of state',
    paper: 'Zhang et al., arXiv:1907.08610',
  },
  wrap(base) {
    const own = delegate<z.output<typeof options>>('lookahead', base);
    const at = base.scalarNames.length;
    return {
      ...own,
      slots: (options, tensor) => ({ ...own.slots(options, tensor), slow: { init: 'parameter' } }),
      scalarNames: [...base.scalarNames, 'synchronise'],
      scalars(info, out, state, sums) {
        own.scalars(info, out, state, sums);
        out[at] = info.step % info.options.k === 0 ? info.options.alpha : 0;
      },
      after(view, s, options) {
        own.after?.(view, s, options);
        if (s[at] === 0) return;
        const { param, slots } = view;
        for (let i = 0; i < param.length; i++) {
          slots.slow[i] += s[at] * (param[i] - slots.slow[i]);
          param[i] = slots.slow[i];
        }
      },
      evalParameters({ slots }, out) {
        out.set(slots.slow);
      },
    };
  },
};

/** Slow weights that follow those of `base`. */
export const lookahead = (base: OptimizerDescription, options: LookaheadOptions = {}): OptimizerDescription =>
  describeWrapped('lookahead', base, options);
