import type {
  OPTIMIZER_KERNELS, OptimizerKernel, Pointer, SPARSE_OPTIMIZER_KERNELS, SparseOptimizerKernel,
} from './table.ts'; // biome-ignore format: a list

type Table = Record<(typeof OPTIMIZER_KERNELS)[number], OptimizerKernel> &
  Record<(typeof SPARSE_OPTIMIZER_KERNELS)[number], SparseOptimizerKernel>;

/** One element: `p` has the decoupled decay already, `g` is scaled and has the L2 decay; `a`, `b`, `c`, `d` are places of slots. */
type Rule = (p: number, g: number, a: number, b: number, c: number, d: number, s: Float64Array) => number;

/** The fused optimizer passes as plain loops: the oracle of assembly/optimizers*.ts. */
export function optimizerKernels(real: Float32Array | Float64Array, int: Int32Array, sums: Float64Array): Table {
  const kernel =
    (rule: Rule): OptimizerKernel =>
    (param, grad, slot0, slot1, slot2, count, scalars, slot3 = 0) => {
      const s = sums.subarray(scalars >> 3);
      for (let i = 0; i < count; i++) {
        const at = (param >> 2) + i;
        const g = s[0] * real[(grad >> 2) + i] + s[2] * real[at];
        const p = s[3] * real[at];
        real[at] = rule(p, g, (slot0 >> 2) + i, (slot1 >> 2) + i, (slot2 >> 2) + i, (slot3 >> 2) + i, s);
      }
    };
  const rows =
    (dense: OptimizerKernel): SparseOptimizerKernel =>
    (param, grad, ids, count, width, slot0, slot1, scalars) => {
      for (let row = 0; row < count; row++) {
        const at: Pointer = 4 * width * int[(ids >> 2) + row];
        dense(param + at, grad + 4 * width * row, slot0 + at, slot1 + at, 0, width, scalars);
      }
    };
  /** real[at] = keep * real[at] + gain * x */
  const average = (at: number, keep: number, gain: number, x: number): number => {
    real[at] = keep * real[at] + gain * x;
    return real[at];
  };

  const momentum: Rule = (p, g, a, _b, _c, _d, s) => {
    const buffer = average(a, s[4], s[5], g);
    return p - s[6] * g - s[7] * buffer;
  };
  const rmsprop =
    (centered: boolean, withMomentum: boolean): Rule =>
    (p, g, a, b, c, _d, [, , , , alpha, eps, epsRoot, momentum, inStep, outStep]) => {
      let variance = average(a, alpha, 1 - alpha, g * g);
      if (centered) variance = Math.max(variance - average(b, alpha, 1 - alpha, g) ** 2, 0);
      const direction = (inStep * g) / (Math.sqrt(variance + epsRoot) + eps);
      return p - outStep * (withMomentum ? average(centered ? c : b, momentum, 1, direction) : direction);
    };
  const adam =
    (largest: boolean): Rule =>
    (p, g, a, b, c, _d, [, , , , beta1, beta2, eps, epsRoot, stepSize, invSqrtBias2, maxScale]) => {
      const m = average(a, beta1, 1 - beta1, g);
      let v = average(b, beta2, 1 - beta2, g * g);
      if (largest) {
        real[c] = Math.max(real[c], maxScale * v);
        v = real[c];
      }
      return p - (stepSize * m) / (Math.sqrt(v + epsRoot) * invSqrtBias2 + eps);
    };

  const sgd = kernel((p, g, _a, _b, _c, _d, s) => p - s[1] * g);
  const adagrad = kernel((p, g, a, _b, _c, _d, [, , , , eps, epsRoot, clr]) => {
    real[a] += g * g;
    return p - (clr * g) / (Math.sqrt(real[a] + epsRoot) + eps);
  });
  return {
    sgd,
    momentum: kernel(momentum),
    nesterov: kernel(momentum),
    adagrad,
    rmsprop: kernel(rmsprop(false, false)),
    rmspropMomentum: kernel(rmsprop(false, true)),
    rmspropCentered: kernel(rmsprop(true, false)),
    rmspropCenteredMomentum: kernel(rmsprop(true, true)),
    adam: kernel(adam(false)),
    adamw: kernel(adam(false)),
    amsgrad: kernel(adam(true)),
    adamax: kernel((p, g, a, b, _c, _d, [, , , , beta1, beta2, eps, epsMax, stepSize]) => {
      const m = average(a, beta1, 1 - beta1, g);
      real[b] = Math.max(beta2 * real[b], Math.abs(g) + epsMax);
      return p - (stepSize * m) / (real[b] + eps);
    }),
    nadam: kernel((p, g, a, b, _c, _d, [, , , , beta1, beta2, eps, gradStep, meanStep, invSqrtBias2]) => {
      const m = average(a, beta1, 1 - beta1, g);
      const v = average(b, beta2, 1 - beta2, g * g);
      return p - (gradStep * g + meanStep * m) / (Math.sqrt(v) * invSqrtBias2 + eps);
    }),
    radam: kernel((p, g, a, b, _c, _d, [, , , , beta1, beta2, eps, adaptiveStep, plainStep]) => {
      const m = average(a, beta1, 1 - beta1, g);
      const v = average(b, beta2, 1 - beta2, g * g);
      return p - (adaptiveStep * m) / (Math.sqrt(v) + eps) - plainStep * m;
    }),
    adabelief: kernel((p, g, a, b, _c, _d, [, , , , beta1, beta2, eps, epsSum, stepSize, invSqrtBias2]) => {
      const m = average(a, beta1, 1 - beta1, g);
      const v = average(b, beta2, 1 - beta2, (g - m) ** 2) + epsSum;
      real[b] = v;
      return p - (stepSize * m) / (Math.sqrt(v) * invSqrtBias2 + eps);
    }),
    yogi: kernel((p, g, a, b, _c, _d, [, , , , beta1, beta2, eps, stepSize, invSqrtBias2]) => {
      const m = average(a, beta1, 1 - beta1, g);
      real[b] -= (1 - beta2) * Math.sign(real[b] - g * g) * g * g;
      return p - (stepSize * m) / (Math.sqrt(real[b]) * invSqrtBias2 + eps);
    }),
    adan: kernel((p, g, a, b, c, d, s) => {
      const [, , , , beta1, beta2, beta3, eps, meanStep, diffStep, invSqrtBias3, diffOn, shrink] = s;
      const change = diffOn * (g - real[d]);
      const m = average(a, beta1, 1 - beta1, g);
      const drift = average(b, beta2, 1 - beta2, change);
      const n = average(c, beta3, 1 - beta3, (g + beta2 * change) ** 2);
      real[d] = g;
      return shrink * (p - (meanStep * m + diffStep * drift) / (Math.sqrt(n) * invSqrtBias3 + eps));
    }),
    prodigy: kernel((p, g, a, b, c, _d, s) => {
      const [, , , , beta1, gain1, beta2, gain2, eps, stepSize, keepSigned, gainSigned] = s;
      const m = average(a, beta1, gain1, g);
      const v = average(b, beta2, gain2, g * g);
      average(c, keepSigned, gainSigned, g);
      return p - (stepSize * m) / (Math.sqrt(v) + eps);
    }),
    swats: kernel((p, g, a, b, c, _d, s) => {
      const [, , , , beta1, beta2, eps, adamStep, invSqrtBias2, bufferKeep, bufferGain, sgdStep] = s;
      const m = average(a, beta1, 1 - beta1, g);
      const v = average(b, beta2, 1 - beta2, g * g);
      const buffer = average(c, bufferKeep, bufferGain, g);
      return p - (adamStep * m) / (Math.sqrt(v) * invSqrtBias2 + eps) - sgdStep * buffer;
    }),
    adadelta: kernel((p, g, a, b, _c, _d, [, lr, , , rho, eps]) => {
      const v = average(a, rho, 1 - rho, g * g);
      const step = (Math.sqrt(real[b] + eps) / Math.sqrt(v + eps)) * g;
      average(b, rho, 1 - rho, step * step);
      return p - lr * step;
    }),
    lion: kernel((p, g, a, _b, _c, _d, [, lr, , , beta1, beta2]) => {
      const direction = Math.sign(beta1 * real[a] + (1 - beta1) * g);
      average(a, beta2, 1 - beta2, g);
      return p - lr * direction;
    }),
    asgd: kernel((p, g, a, _b, _c, _d, [, , , , eta, mu]) => {
      const next = p - eta * g;
      average(a, 1 - mu, mu, next);
      return next;
    }),
    rprop: kernel((p, g, a, b, _c, _d, s) => {
      const [, , , , etaMinus, etaPlus, smallest, largest, sizeKeep, sizeStart] = s;
      const agreement = Math.sign(g * real[a]);
      const factor = agreement > 0 ? etaPlus : agreement < 0 ? etaMinus : 1;
      real[b] = Math.min(Math.max((sizeKeep * real[b] + sizeStart) * factor, smallest), largest);
      real[a] = agreement < 0 ? 0 : g;
      return p - Math.sign(real[a]) * real[b];
    }),
    sophia: kernel((p, g, a, b, _c, _d, [, lr, , , beta1, hKeep, hNew, rho, eps]) => {
      const m = average(a, beta1, 1 - beta1, g);
      const h = average(b, hKeep, hNew, g * g);
      return p - lr * Math.max(Math.min(m / (rho * h + eps), 1), -1);
    }),
    scheduleFreeSgd: kernel((p, g, a, _b, _c, _d, [, lr, , , towardsZ, yStep]) => {
      const z = real[a];
      real[a] = z - lr * g;
      return p + towardsZ * (z - p) + yStep * g;
    }),
    // Its decay is added after the division.
    scheduleFreeAdamw: (param, grad, slot0, slot1, _slot2, count, scalars) => {
      const [gradScale, lr, l2, , towardsZ, yStep, beta2, eps, invSqrtBias2] = sums.subarray(scalars >> 3);
      for (let i = 0; i < count; i++) {
        const [at, a] = [(param >> 2) + i, (slot0 >> 2) + i];
        const g = gradScale * real[(grad >> 2) + i];
        const v = average((slot1 >> 2) + i, beta2, 1 - beta2, g * g);
        const direction = g / (Math.sqrt(v) * invSqrtBias2 + eps) + l2 * real[at];
        const z = real[a];
        real[a] = z - lr * direction;
        real[at] += towardsZ * (z - real[at]) + yStep * direction;
      }
    },
    sgdRows: rows(sgd),
    adagradRows: rows(adagrad),
    adamRows: rows(kernel(adam(false))),
  };
}
