/**
 * Averages of the weights, around any optimizer: training goes on as without them, evaluation and the final parameters use the
 * average.
 *
 *     ema:  a <- a + (1 - d_t) (p - a),   d_t = min(decay, (1 + t) / (10 + t)) with warmup, else decay
 *     swa:  every `every` updates from `start` on:  a <- a + (p - a) / n,   n = how many are averaged; before that a = p
 *
 * Papers: Polyak & Juditsky 1992; SWA: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization",
 * arXiv:1803.05407, 2018.
 *
 * Defaults: decay 0.999, warmup true (TensorFlow's num_updates rule; PyTorch's EMA has none); every 1; `start` has no default:
 * the paper averages the last quarter, with a constant or cyclic rate.
 *
 * Traps: statistics that layers keep themselves (batch norm) belong to the trained weights, not to the average, and must be
 * computed anew for it. Without warmup the first 1 / (1 - decay) updates are mostly the initial parameters.
 */
import { z } from 'zod';
import { unitInterval } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { delegate, describeWrapped, type OptimizerWrapper, type Wrapped } from './wrapper.ts';

export interface EmaOptions {
  /** In [0, 1). Default 0.999. */
  readonly decay?: number;
  /** Shorter averages at the beginning. Default true. */
  readonly warmup?: boolean;
}

export interface SwaOptions {
  /** Update from which on weights are averaged, >= 1. */
  readonly start: number;
  /** Updates between two that count, >= 1. Default 1. */
  readonly every?: number;
}

const emaOptions = z.strictObject({ decay: unitInterval.default(0.999), warmup: z.boolean().default(true) });
const swaOptions = z.strictObject({ start: z.int().min(1), every: z.int().min(1).default(1) });

/** An average a <- a + rate (p - a); `rate` gives the rate of an update and may count in `state`. */
function averaging<O extends object>(
  kind: string,
  base: OptimizerDef,
  rate: (step: number, options: O, state: Record<string, number>) => number,
): OptimizerDef<Wrapped<O>> {
  const own = delegate<O>(kind, base);
  const at = base.scalarNames.length;
  return {
    ...own,
    slots: (options, tensor) => ({ ...own.slots(options, tensor), [kind]: { init: 'parameter' } }),
    state: { ...base.state, [`${kind}Count`]: 0 },
    scalarNames: [...base.scalarNames, `${kind}Rate`],
    scalars(info, out, state, sums) {
      own.scalars(info, out, state, sums);
      out[at] = rate(info.step, info.options, state);
    },
    after(view, s, options) {
      own.after?.(view, s, options);
      const { param, slots } = view;
      const average = slots[kind];
      const rate = s[at];
      if (rate === 1) average.set(param);
      else if (rate > 0) for (let i = 0; i < param.length; i++) average[i] += rate * (param[i] - average[i]);
    },
    evalParameters({ slots }, out) {
      out.set(slots[kind]);
    },
  };
}

export const EMA: OptimizerWrapper<z.output<typeof emaOptions>> = {
  kind: 'ema',
  options: emaOptions,
  about: {
    rule: 'the base, and a <- a + (1 - decay) (p - a); evaluates a',
    when: 'almost always worth trying: smoother validation at 4 bytes a parameter',
    limits: 'one more pass over the parameters; lags behind in short runs',
    paper: 'Polyak & Juditsky 1992',
  },
  wrap: (base) =>
    averaging(
      'ema',
      base,
      (step, { decay, warmup }) => 1 - (warmup ? Math.min(decay, (1 + step) / (10 + step)) : decay),
    ),
};

export const SWA: OptimizerWrapper<z.output<typeof swaOptions>> = {
  kind: 'swa',
  options: swaOptions,
  about: {
    rule: 'the base, and the mean of its weights from update `start` on; evaluates the mean',
    when: 'the last quarter of a run with a constant or cyclic rate: wider minima, better generalisation',
    limits: 'start must lie where the loss has levelled off',
    paper: 'Izmailov et al., arXiv:1803.05407',
  },
  wrap: (base) =>
    averaging('swa', base, (step, { start, every }, state) => {
      if (step < start) return 1;
      if ((step - start) % every !== 0) return 0;
      state.swaCount += 1;
      return 1 / state.swaCount;
    }),
};

/** Exponential moving average of the weights of `base`, used for evaluation. */
export const ema = (base: OptimizerDescription, options: EmaOptions = {}): OptimizerDescription =>
  describeWrapped('ema', base, options);
/** Stochastic weight averaging around `base`, used for evaluation. */
export const swa = (base: OptimizerDescription, options: SwaOptions): OptimizerDescription =>
  describeWrapped('swa', base, options);
