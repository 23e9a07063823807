/**
 * RAdam: Adam that begins as momentum and divides only once its root mean square means something.
 *
 *     m <- m + (1 - beta1) * (g_t - m);  v <- beta2 * v + (1 - beta2) * g_t^2
 *     rho_inf = 2 / (1 - beta2) - 1,   rho_t = rho_inf - 2 t beta2^t / (1 - beta2^t)
 *     rho_t > threshold:  r = sqrt((rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t))
 *                         p <- p - lr r m^ sqrt(1 - beta2^t) / (sqrt(v) + eps),      m^ = m / (1 - beta1^t)
 *     else:               p <- p - lr m^
 *
 * Paper: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", arXiv:1908.03265, 2019.
 *
 * Defaults: lr 0.001, betas [0.9, 0.999], eps 1e-8 before the bias correction (`epsHat`), threshold 5, weightDecay 0
 * (PyTorch's). optax adds eps after the correction. The paper's threshold is 4; PyTorch, optax and the authors' code use 5.
 *
 * Traps: with beta2 <= 0.6 rho_inf is below 5 and the division never begins.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, baseScalars, betas, type DecayOptions, decay, eps } from './common.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface RadamOptions extends CommonOptions, DecayOptions {
  /** Default 0.001. */
  readonly lr?: LearningRate;
  /** Each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** > 0. Default 1e-8. */
  readonly eps?: number;
  /** eps is added before the bias correction (PyTorch). Default true. */
  readonly epsHat?: boolean;
  /** Length of the approximated average above which the step is divided, >= 4. Default 5. */
  readonly threshold?: number;
}

const options = z.strictObject({
  betas: betas(0.9, 0.999),
  eps: eps(1e-8),
  epsHat: z.boolean().default(true),
  threshold: z.number().min(4).default(5),
  ...decay(0, false),
});

export const RADAM: OptimizerDef<z.output<typeof options>> = {
  kind: 'radam',
  options,
  defaultLr: 0.001,
  unit: 'element',
  slots: () => ({ m: {}, v: {} }),
  scalarNames: [...BASE_SCALARS, 'beta1', 'beta2', 'eps', 'adaptiveStep', 'plainStep'],
  scalars({ step, lr, gradScale, options }, out) {
    baseScalars(out, gradScale, lr, options);
    const beta2 = options.betas[1];
    const power = pow(beta2, step);
    const meanStep = lr / (1 - pow(options.betas[0], step));
    const longest = 2 / (1 - beta2) - 1;
    const length = longest - (2 * step * power) / (1 - power);
    const divided = length > options.threshold;
    const rectified = ((length - 4) * (length - 2) * longest) / ((longest - 4) * (longest - 2) * length);
    out[4] = options.betas[0];
    out[5] = beta2;
    out[6] = options.epsHat ? options.eps : options.eps * Math.sqrt(1 - power);
    out[7] = divided ? meanStep * Math.sqrt(rectified) * Math.sqrt(1 - power) : 0;
    out[8] = divided ? 0 : meanStep;
  },
  update({ param, grad, slots: { m, v } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i] + s[2] * param[i];
      m[i] += (1 - s[4]) * (g - m[i]);
      v[i] = s[5] * v[i] + (1 - s[5]) * g * g;
      param[i] = s[3] * param[i] - (s[7] * m[i]) / (Math.sqrt(v[i]) + s[6]) - s[8] * m[i];
    }
  },
  kernel: () => 'radam',
  compat: { pytorch: {}, optax: { epsHat: false } },
  about: {
    rule: 'momentum for the first steps, then Adam times a factor that rises to 1',
    when: 'where Adam needs a warm-up and none is wanted',
    limits: 'a tuned warm-up does as well; otherwise those of Adam',
    paper: 'Liu et al., arXiv:1908.03265',
  },
};

/** Adam with a rectified beginning, as `torch.optim.RAdam`. */
export const radam = (options: RadamOptions = {}): OptimizerDescription => describe(RADAM, options);
