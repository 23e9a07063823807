/**
 * SAM, sharpness-aware minimisation, around any optimizer: the gradient that counts is the one at the worst point nearby.
 *
 *     e = rho * g / (|g| + 1e-12),   g the mean gradient at p (clipped, if the job clips)
 *     the base updates p with the gradient of the same batch at p + e
 *     adaptive:  e = rho * p^2 g / (| |p| g | + 1e-12)
 *
 * Papers: Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", arXiv:2010.01412, 2020; adaptive:
 * Kwon et al., "ASAM", arXiv:2102.11600, 2021.
 *
 * Defaults: rho 0.05 (adaptive: the authors take 0.5 to 2), adaptive false.
 *
 * The norm is that over all parameters, also when groups differ. Both passes use the same rows and the same dropout masks. The
 * loss and the norm in the records are those of the first pass.
 *
 * Traps: a step costs two gradients. A run that is killed inside a step goes back to the last restore point.
 */
import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { positive } from './common.ts';
import type { OptimizerDescription } from './contract.ts';
import { delegate, describeWrapped, type OptimizerWrapper } from './wrapper.ts';

export interface SamOptions {
  /** Radius, > 0. Default 0.05. */
  readonly rho?: number;
  /** In units of each parameter's size. Default false. */
  readonly adaptive?: boolean;
}

const options = z.strictObject({ rho: positive.default(0.05), adaptive: z.boolean().default(false) });

export const SAM: OptimizerWrapper<z.output<typeof options>> = {
  kind: 'sam',
  options,
  about: {
    rule: 'the base, with the gradient at p + rho g / |g|',
    when: 'generalisation matters more than time: small data, label noise, vision transformers',
    limits: 'two gradients a step',
    paper: 'Foret et al., arXiv:2010.01412; adaptive: Kwon et al., arXiv:2102.11600',
  },
  wrap(base) {
    if (base.drive !== undefined) {
      throw new LockstepError('E_OPTION', {
        where: 'optimizer sam',
        expected: 'an optimizer that needs one gradient a step',
        got: base.kind,
        fix: 'wrap another one',
      });
    }
    const own = delegate<z.output<typeof options>>('sam', base);
    return {
      ...own,
      unit: base.unit === 'tensor' ? 'tensor' : 'model',
      slots: (options, tensor) => ({ ...own.slots(options, tensor), here: {} }),
      drive({ info, views, gradient, sum, apply }) {
        const { rho, adaptive } = info.options;
        const squares = new Float64Array(1);
        if (Number.isNaN(gradient())) return 'stop';
        sum(({ param, grad }, out) => {
          for (let i = 0; i < grad.length; i++) {
            const g = adaptive ? param[i] * grad[i] : grad[i];
            out[0] += g * g;
          }
        }, squares);
        const climb = rho / (Math.sqrt(squares[0]) + 1e-12);
        for (const { param, grad, slots } of views) {
          slots.here.set(param);
          for (let i = 0; i < param.length; i++) {
            param[i] += climb * (adaptive ? param[i] * param[i] * grad[i] : grad[i]);
          }
        }
        const loss = gradient();
        for (const { param, slots } of views) param.set(slots.here);
        if (Number.isNaN(loss)) return 'stop';
        apply();
        return undefined;
      },
    };
  },
};

/** `base` with the gradient at the worst point nearby. */
export const sam = (base: OptimizerDescription, options: SamOptions = {}): OptimizerDescription =>
  describeWrapped('sam', base, options);
