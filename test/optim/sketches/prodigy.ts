import { z } from 'zod';
import type { OptimizerDef } from '../../../src/optim/contract.ts';

/** Prodigy (Mishchenko & Defazio 2023, algorithm 4): estimates its own step from two sums over all parameters. */
export const prodigy: OptimizerDef<{ beta1: number; beta2: number; eps: number }> = {
  kind: 'prodigy',
  options: z.strictObject({
    beta1: z.number().default(0.9),
    beta2: z.number().default(0.999),
    eps: z.number().default(1e-8),
  }),
  defaultLr: 1,
  unit: 'element',
  slots: () => ({ m: {}, v: {}, s: {}, start: {} }),
  state: { d: 1e-6, r: 0 },
  measures: 2,
  measure({ param, grad, slots }, out, { step, lr, gradScale, options }, { d }) {
    const keep = Math.sqrt(options.beta2);
    for (let i = 0; i < param.length; i++) {
      const g = gradScale * grad[i];
      out[0] += g * (step === 1 ? 0 : slots.start[i] - param[i]);
      out[1] += Math.abs(keep * slots.s[i] + (1 - keep) * lr * d * d * g); // what `update` will write: measure only reads
    }
  },
  scalarNames: ['gradScale', 'lr', 'd', 'first'],
  scalars({ step, lr, gradScale, options }, out, state, sums) {
    out.set([gradScale, lr, state.d, step === 1 ? 1 : 0]); // this step still goes with the old distance
    const keep = Math.sqrt(options.beta2);
    state.r = keep * state.r + (1 - keep) * lr * state.d * state.d * sums[0];
    if (sums[1] > 0) state.d = Math.max(state.d, state.r / sums[1]);
  },
  update({ param, grad, slots: { m, v, s: signed, start } }, s, { beta1, beta2, eps }) {
    const d = s[2];
    const keep = Math.sqrt(beta2);
    if (s[3] === 1) start.set(param);
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i];
      m[i] = beta1 * m[i] + (1 - beta1) * d * g;
      v[i] = beta2 * v[i] + (1 - beta2) * d * d * g * g;
      signed[i] = keep * signed[i] + (1 - keep) * s[1] * d * d * g;
      param[i] -= (s[1] * d * m[i]) / (Math.sqrt(v[i]) + d * eps);
    }
  },
};
