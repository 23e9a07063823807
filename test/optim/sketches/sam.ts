import { z } from 'zod';
import type { OptimizerDef } from '../../../src/optim/contract.ts';

/** SAM (Foret et al. 2020) around any optimizer: the gradient that counts is the one at the worst point within `rho`. */
export function sam<H extends object>(base: OptimizerDef<H>): OptimizerDef<H & { rho: number }> {
  return {
    ...base,
    bind: undefined,
    kind: `sam-${base.kind}`,
    options: z.looseObject({ rho: z.number().gt(0).default(0.05) }).transform(({ rho, ...rest }) => ({
      ...base.options.parse(rest),
      rho,
    })),
    unit: 'model',
    slots: (options, tensor) => ({ ...base.slots(options, tensor), here: {} }),
    drive({ info, views, gradient, sum, apply }) {
      const squares = new Float64Array(1);
      gradient();
      sum(({ grad }, out) => {
        for (const g of grad) out[0] += g * g;
      }, squares);
      const climb = info.options.rho / (Math.sqrt(squares[0]) + 1e-12);
      for (const { param, grad, slots } of views) {
        slots.here.set(param);
        for (let i = 0; i < param.length; i++) param[i] += climb * grad[i];
      }
      gradient();
      for (const { param, slots } of views) param.set(slots.here);
      apply();
      return undefined;
    },
  };
}
