import { z } from 'zod';
import { pow } from '../../../src/kernels/math.ts';
import type { OptimizerDef } from '../../../src/optim/contract.ts';

/** LAMB (You et al. 2019): Adam's step times |p| / |step| of the tensor, so whole tensors and two passes over them. */
export const lamb: OptimizerDef<{ beta1: number; beta2: number; eps: number; weightDecay: number }> = {
  kind: 'lamb',
  options: z.strictObject({
    beta1: z.number().default(0.9),
    beta2: z.number().default(0.999),
    eps: z.number().default(1e-6),
    weightDecay: z.number().default(0),
  }),
  unit: 'tensor',
  slots: () => ({ m: {}, v: {} }),
  scalarNames: ['gradScale', 'lr', 'invBias1', 'invSqrtBias2'],
  scalars({ step, lr, gradScale, options: { beta1, beta2 } }, out) {
    out.set([gradScale, lr, 1 / (1 - pow(beta1, step)), 1 / Math.sqrt(1 - pow(beta2, step))]);
  },
  update({ param, grad, slots: { m, v } }, s, { beta1, beta2, eps, weightDecay }) {
    const direction = (i: number): number => (m[i] * s[2]) / (Math.sqrt(v[i]) * s[3] + eps) + weightDecay * param[i];
    let paramSquares = 0;
    let stepSquares = 0;
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i];
      m[i] += (1 - beta1) * (g - m[i]);
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      paramSquares += param[i] ** 2;
      stepSquares += direction(i) ** 2;
    }
    const trust = paramSquares > 0 && stepSquares > 0 ? Math.sqrt(paramSquares / stepSquares) : 1;
    for (let i = 0; i < param.length; i++) param[i] -= s[1] * trust * direction(i);
  },
};
