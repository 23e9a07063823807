/**
 * Annealed Gaussian noise on the gradient, around any optimizer.
 *
 *     g_t <- g_t + N(0, sigma_t^2),     sigma_t^2 = eta / (1 + t)^gamma,     t = 0 for the first update
 *
 * Paper: Neelakantan et al., "Adding Gradient Noise Improves Learning for Very Deep Networks", arXiv:1511.06807, 2015.
 *
 * Defaults: eta 0.3, gamma 0.55 (the paper tries eta 0.01, 0.3 and 1). optax's add_noise has the same rule.
 *
 * The noise is added after the all-reduce and after clipping (the recorded norm is without it), and is Philox of (seed of the
 * job, update, tensor, element): the same on any number of workers.
 *
 * Traps: eta is in squared units of the gradient: with small gradients 0.3 drowns them. Adam divides the noise away together
 * with the gradient.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { notNegative } from './common.ts';
import type { FloatArray, OptimizerDescription, View } from './contract.ts';
import { delegate, describeWrapped, type OptimizerWrapper } from './wrapper.ts';

export interface GradientNoiseOptions {
  /** Variance at the first update, >= 0. Default 0.3. */
  readonly eta?: number;
  /** Power of its decay, >= 0. Default 0.55. */
  readonly gamma?: number;
}

const options = z.strictObject({ eta: notNegative.default(0.3), gamma: notNegative.default(0.55) });

export const GRADIENT_NOISE: OptimizerWrapper<z.output<typeof options>> = {
  kind: 'gradientNoise',
  options,
  about: {
    rule: 'g <- g + N(0, eta / (1 + t)^gamma), then the base',
    when: 'very deep or badly conditioned networks; leaving poor regions',
    limits: 'eta must fit the scale of the gradients',
    paper: 'Neelakantan et al., arXiv:1511.06807',
  },
  wrap(base) {
    const own = delegate<z.output<typeof options>>('gradientNoise', base);
    const at = base.scalarNames.length;
    return {
      ...own,
      scalarNames: [...base.scalarNames, 'noise'],
      scalars(info, out, state, sums) {
        own.scalars(info, out, state, sums);
        out[at] = Math.sqrt(info.options.eta / pow(info.step, info.options.gamma));
      },
      transform(view, out, s, info) {
        own.transform?.(view, out, s, info);
        addNoise(own.transform ? { ...view, grad: out.slice() } : view, out, info.step, s[at] / s[0]);
      },
    };
  },
};

/** out = grad + scale * n, with standard normal n of this update. */
export function addNoise(view: View, out: FloatArray, step: number, scale: number): void {
  const { grad } = view;
  view.normal(out, step);
  for (let i = 0; i < out.length; i++) out[i] = grad[i] + scale * out[i];
}

/** Annealed Gaussian noise on the gradients of `base`. */
export const gradientNoise = (base: OptimizerDescription, options: GradientNoiseOptions = {}): OptimizerDescription =>
  describeWrapped('gradientNoise', base, options);
