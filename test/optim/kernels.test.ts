import { describe, expect, test } from 'vitest';
import { OPTIMIZER_KERNELS } from '../../src/kernels/table.ts';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import {
  adabelief, adadelta, adagrad, adam, adamax, adamw, adan, asgd, lion, momentum, nadam, nesterov, type OptimizerDescription, prodigy,
  radam, rmsprop, rprop, scheduleFreeAdamw, scheduleFreeSgd, sgd, sophia, swats, yogi,
} from '../../src/optim/index.ts'; // biome-ignore format: a list
import { runOptimizer } from '../../src/optim/run.ts';
import { kernelMachines } from './kernel-machine.ts';
import { numbers, tensorTable } from './vectors.ts';

/** Every combination of options that changes what a kernel does. */
const COMBINATIONS: readonly OptimizerDescription[] = [
  ...[0, 0.02].flatMap((weightDecay) => [
    sgd({ lr: 0.05, weightDecay }),
    ...[0, 0.3].map((dampening) => momentum({ lr: 0.05, dampening, weightDecay })),
    nesterov({ lr: 0.05, weightDecay }),
    ...[0, 0.1].map((initialAccumulator) => adagrad({ lr: 0.05, lrDecay: 0.1, initialAccumulator, weightDecay })),
    ...[0, 0.8].flatMap((momentum) =>
      [false, true].map((centered) => rmsprop({ lr: 0.003, eps: 1e-3, momentum, centered, weightDecay })),
    ),
    adam({ lr: 0.01, betas: [0.8, 0.95], eps: 1e-6, weightDecay }),
    adamw({ lr: 0.01, betas: [0.8, 0.95], eps: 1e-6, weightDecay }),
    adagrad({ lr: 0.05, initialAccumulator: 0.1, epsInside: true, weightDecay, decoupled: true }),
    adam({ lr: 0.01, eps: 1e-3, epsRoot: 1e-3, weightDecay, decoupled: true }),
    adam({ lr: 0.01, eps: 1e-3, amsgrad: true, betas: [0.8, 0.9], weightDecay }),
    adam({ lr: 0.01, eps: 1e-3, amsgrad: true, maxOfCorrected: true, betas: [0.8, 0.9], weightDecay }),
    adam({ lr: 0.01, eps: 1e-3, epsHat: true, biasCorrection: false, weightDecay }),
    ...[false, true].flatMap((decoupled) => [
      momentum({ lr: 0.05, lrInMomentum: true, weightDecay, decoupled }),
      nesterov({ lr: 0.05, lrInMomentum: true, weightDecay, decoupled }),
      rmsprop({ lr: 0.003, eps: 1e-3, epsInside: true, lrInMomentum: true, momentum: 0.8, weightDecay, decoupled }),
      rmsprop({ lr: 0.003, eps: 1e-3, epsInside: true, initialAccumulator: 1, weightDecay, decoupled }),
      adadelta({ lr: 0.1, eps: 1e-3, weightDecay, decoupled }),
      adamax({ lr: 0.01, eps: 1e-3, weightDecay, decoupled }),
      adamax({ lr: 0.01, eps: 1e-3, epsInMax: false, weightDecay, decoupled }),
      nadam({ lr: 0.01, eps: 1e-3, weightDecay, decoupled }),
      radam({ lr: 0.01, eps: 1e-3, betas: [0.8, 0.9], weightDecay, decoupled }),
      lion({ lr: 0.01, betas: [0.8, 0.9], weightDecay, decoupled }),
      adabelief({ lr: 0.01, eps: 1e-3, weightDecay, decoupled }),
      yogi({ lr: 0.01, eps: 1e-2, weightDecay, decoupled, initialMean: decoupled ? 0.1 : 0 }),
      asgd({ lr: 0.1, lambda: 0.01, start: 2, weightDecay, decoupled }),
      rprop({ lr: 0.1, weightDecay, decoupled }),
      sophia({ lr: 0.01, rho: 4, interval: 2, weightDecay, decoupled }),
      prodigy({ d0: 1e-2, eps: 1e-3, weightDecay, decoupled }),
      swats({ lr: 0.01, eps: 1e-3, weightDecay, decoupled }),
    ]),
    ...[false, true].map((proximal) => adan({ lr: 0.01, eps: 1e-3, weightDecay, proximal })),
    scheduleFreeSgd({ lr: 0.1, weightDecay }),
    scheduleFreeAdamw({ lr: 0.01, eps: 1e-3, weightDecay }),
  ]),
];

test('the combinations reach every kernel', () => {
  const reached = COMBINATIONS.map((description) => {
    const { def, options } = resolveOptimizer(description);
    return def.kernel?.(options);
  });
  expect(new Set(reached)).toEqual(new Set(OPTIMIZER_KERNELS));
});

describe.each(kernelMachines)('fused kernels, $name', ({ create }) => {
  test.each(COMBINATIONS)('$kind does what update does: %o', (description) => {
    const { def, options, schedule } = resolveOptimizer(description);
    const lr = Number(schedule);
    const gradScale = 0.037;
    for (const count of [1, 3, 4, 17, 100, 131]) {
      const tensor = tensorTable([count])[0];
      const start = Float32Array.from(numbers(count, 7 * count + 1));
      const machine = create(def, options, tensor, start);
      const run = runOptimizer(def, options, [tensor], Float64Array.from(start));
      for (let t = 1; t <= 6; t++) {
        const gradient = Float32Array.from(numbers(count, 31 * t + count), (x) => x * 30);
        machine.step(gradient, lr, gradScale);
        run.step(
          (_, grad) => {
            grad?.set(gradient);
            return 0;
          },
          lr,
          gradScale,
        );
      }
      const worst = (actual: Float32Array, expected: ArrayLike<number>): number =>
        actual.reduce((w, x, i) => Math.max(w, Math.abs(x - expected[i]) / Math.max(1, Math.abs(expected[i]))), 0);
      expect(worst(machine.param(), run.params)).toBeLessThanOrEqual(2e-6);
      // Slots hold sums of terms of both signs: their rounding is that of the largest, not of what is left.
      Object.values(run.views[0].slots).forEach((slot, i) => {
        const largest = Math.max(1, ...slot.map(Math.abs));
        const actual = machine.slot(i);
        slot.forEach((x, k) => {
          expect(Math.abs(actual[k] - x)).toBeLessThanOrEqual(2e-6 * largest);
        });
      });
    }
  });

  test('centered RMSprop stays finite when the variance of the gradient is lost in rounding', () => {
    for (const momentum of [0, 0.9]) {
      const { def, options } = resolveOptimizer(rmsprop({ alpha: 0.5, centered: true, momentum, eps: 1 }));
      const start = Float32Array.from(numbers(33, 3));
      const machine = create(def, options, tensorTable([33])[0], start);
      const run = runOptimizer(def, options, tensorTable([33]), start.slice());
      const gradient = Float32Array.from(numbers(33, 4));
      for (let t = 0; t < 100; t++) {
        machine.step(gradient, 1e-3, 1);
        run.step((_, grad) => {
          grad?.set(gradient);
          return 0;
        }, 1e-3);
      }
      expect(machine.param().every(Number.isFinite)).toBe(true);
      expect(run.params.every(Number.isFinite)).toBe(true);
    }
  });
});
