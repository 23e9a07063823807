import { z } from 'zod';
import { pow } from '../../../src/kernels/math.ts';
import type { OptimizerDef } from '../../../src/optim/contract.ts';

/** NAdam (Dozat 2016): the product of momenta is one persistent number, advanced by `scalars`. */
export const nadam: OptimizerDef<{ beta1: number; beta2: number; eps: number; decay: number }> = {
  kind: 'nadam',
  options: z.strictObject({
    beta1: z.number().default(0.9),
    beta2: z.number().default(0.999),
    eps: z.number().default(1e-8),
    decay: z.number().default(0.004),
  }),
  unit: 'element',
  slots: () => ({ m: {}, v: {} }),
  state: { product: 1 },
  scalarNames: ['gradScale', 'lr', 'beta1', 'beta2', 'eps', 'gradStep', 'meanStep', 'invSqrtBias2'],
  scalars({ step, lr, gradScale, options: { beta1, beta2, eps, decay } }, out, state) {
    const now = beta1 * (1 - 0.5 * pow(0.96, step * decay));
    const next = beta1 * (1 - 0.5 * pow(0.96, (step + 1) * decay));
    state.product *= now;
    const gradStep = (lr * (1 - now)) / (1 - state.product);
    const meanStep = (lr * next) / (1 - state.product * next);
    out.set([gradScale, lr, beta1, beta2, eps, gradStep, meanStep, 1 / Math.sqrt(1 - pow(beta2, step))]);
  },
  update({ param, grad, slots: { m, v } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i];
      m[i] += (1 - s[2]) * (g - m[i]);
      v[i] = s[3] * v[i] + (1 - s[3]) * g * g;
      param[i] -= (s[5] * g + s[6] * m[i]) / (Math.sqrt(v[i]) * s[7] + s[4]);
    }
  },
};
