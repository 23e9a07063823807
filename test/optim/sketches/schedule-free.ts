import { z } from 'zod';
import type { OptimizerDef } from '../../../src/optim/contract.ts';

/** Schedule-Free SGD (Defazio et al. 2024): trains at y, evaluates at the average x; y = (1 - beta) z + beta x gives x back. */
export const scheduleFree: OptimizerDef<{ beta: number }> = {
  kind: 'scheduleFree',
  options: z.strictObject({ beta: z.number().default(0.9) }),
  unit: 'element',
  slots: () => ({ z: {} }),
  state: { weights: 0 },
  scalarNames: ['gradScale', 'lr', 'average', 'first'],
  scalars({ step, lr, gradScale }, out, state) {
    state.weights += lr * lr;
    out.set([gradScale, lr, (lr * lr) / state.weights, step === 1 ? 1 : 0]);
  },
  update({ param, grad, slots }, s, { beta }) {
    if (s[3] === 1) slots.z.set(param);
    for (let i = 0; i < param.length; i++) {
      const x = (param[i] - (1 - beta) * slots.z[i]) / beta;
      slots.z[i] -= s[1] * s[0] * grad[i];
      param[i] = (1 - beta) * slots.z[i] + beta * ((1 - s[2]) * x + s[2] * slots.z[i]);
    }
  },
  evalParameters({ param, slots }, out, { beta }) {
    for (let i = 0; i < param.length; i++) out[i] = (param[i] - (1 - beta) * slots.z[i]) / beta;
  },
};
