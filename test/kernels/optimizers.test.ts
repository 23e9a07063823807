import { describe, expect, it } from 'vitest';
import type { OPTIMIZER_KERNELS } from '../../src/kernels/table.ts';
import { bothLevels, deviation, numbers, SIZES } from './sides.ts';

/** Scalars of one step by kernel, as src/optim writes them: gradScale, lr, l2, keep, ... */
const BASE = [0.5, 0.1, 0.01, 0.998];
const SLOW = [0.5, 0.001, 0.01, 0.9998];
const SCALARS = {
  sgd: BASE,
  momentum: [...BASE, 0.9, 0.8, 0, 0.1],
  nesterov: [...BASE, 0.9, 1, 0.1, 0.09],
  adagrad: [...BASE, 1e-10, 1e-3, 0.09],
  rmsprop: [...SLOW, 0.99, 1e-8, 1e-3, 0, 1, 0.01],
  rmspropMomentum: [...SLOW, 0.99, 1e-8, 0, 0.9, 1, 0.01],
  rmspropCentered: [...SLOW, 0.99, 1e-8, 0, 0, 1, 0.01],
  rmspropCenteredMomentum: [...SLOW, 0.99, 1e-8, 0, 0.9, 1, 0.01],
  adam: [...SLOW, 0.9, 0.999, 1e-8, 1e-4, 0.00526, 22.37],
  adamw: [0.5, 0.001, 0, 0.9998, 0.9, 0.999, 1e-8, 0, 0.00526, 22.37],
  amsgrad: [...SLOW, 0.9, 0.999, 1e-8, 1e-4, 0.00526, 22.37, 1.5],
  adamax: [...SLOW, 0.9, 0.999, 1e-8, 1e-3, 0.00526],
  nadam: [...SLOW, 0.9, 0.999, 1e-8, 1e-4, 0.00526, 22.37],
  radam: [...SLOW, 0.9, 0.999, 1e-8, 0.00526, 0.001],
  adabelief: [...SLOW, 0.9, 0.999, 1e-8, 1e-4, 0.00526, 22.37],
  yogi: [...SLOW, 0.9, 0.999, 1e-8, 0.00526, 22.37],
  adan: [...SLOW, 0.98, 0.92, 0.99, 1e-8, 0.0526, 0.01, 7, 1, 0.999],
  prodigy: [...SLOW, 0.9, 0.1, 0.999, 0.001, 1e-8, 0.01, 0.99, 0.01],
  swats: [...SLOW, 0.9, 0.999, 1e-8, 0.00526, 22.37, 0.9, 1, 0.01],
  adadelta: [...BASE, 0.9, 1e-6],
  lion: [...SLOW, 0.9, 0.99],
  asgd: [...BASE, 0.09, 0.3],
  rprop: [...BASE, 0.5, 1.2, 1e-6, 50, 1, 0.1],
  sophia: [...SLOW, 0.965, 0.99, 0.01, 0.04, 1e-15],
  scheduleFreeSgd: [0.5, 0.1, 0.01, 1, 0.3, -0.05],
  scheduleFreeAdamw: [0.5, 0.001, 0.01, 1, 0.3, -0.0005, 0.999, 1e-8, 22.37],
} satisfies Record<(typeof OPTIMIZER_KERNELS)[number], number[]>;
const NAMES = Object.keys(SCALARS) as (keyof typeof SCALARS)[];

describe.each(await bothLevels())('$simd', (sides) => {
  it.each(NAMES)('%s does three steps as its formulas in f64, at every length', (name) => {
    for (const n of SIZES) {
      sides.reset();
      const param = sides.floats(numbers(n + 1, n));
      const grad = sides.floats(numbers(n + 2, n));
      // Slot 0 is a mean of squares in most rules; slot 1 a mean of gradients, small against it.
      const slots = [
        sides.floats(numbers(n + 3, n, 0.5, 1)),
        sides.floats(numbers(n + 4, n, 0, 0.5)),
        // Of the size of a second mean: Adan divides by the root of this one.
        sides.floats(numbers(n + 5, n, 0.5, 1)),
        sides.floats(numbers(n + 6, n)),
      ];
      const scalars = sides.doubles(SCALARS[name]);
      for (let step = 0; step < 3; step++)
        sides.run(name, param, grad, slots[0], slots[1], slots[2], n, scalars, slots[3]);
      for (const p of [param, ...slots]) {
        // The bound of issue 2 for golden values.
        expect(deviation(sides.got(p, n), sides.want(p, n), 2e-6, 2e-6)).toBeLessThanOrEqual(1);
      }
      expect([...sides.got(grad, n)]).toEqual([...sides.want(grad, n)]);
      sides.checkGuards();
    }
  });

  it.each(NAMES)('%s gives a parameter the same bits in any block', (name) => {
    const n = 45;
    const inputs = [
      numbers(1, n),
      numbers(2, n),
      numbers(3, n, 0.5, 1),
      numbers(4, n, 0, 0.5),
      numbers(5, n, 0.5, 1),
      numbers(6, n),
    ];
    const run = (from: number, to: number, shift: number): Int32Array[] => {
      sides.reset();
      const [param, grad, ...slots] = inputs.map((values) => sides.floats(values.slice(from, to), shift));
      const scalars = sides.doubles(SCALARS[name]);
      sides.wasm[name](param, grad, slots[0], slots[1], slots[2], to - from, scalars, slots[3]);
      return [param, ...slots].map((p) => sides.gotInts(p, to - from));
    };
    const whole = run(0, n, 0);
    for (const [from, to, shift] of [
      [0, n, 4],
      [3, 40, 0],
      [44, 45, 8],
      [7, 14, 0],
    ]) {
      expect(run(from, to, shift)).toEqual(whole.map((bits) => bits.slice(from, to)));
    }
  });

  it('adamw decays by lr times weightDecay even where that is below the precision of 1', () => {
    sides.reset();
    const param = sides.floats([1]);
    const [grad, m, v] = [0, 0, 0].map(() => sides.floats([0]));
    const decay = 3e-7; // as lr = 3e-5, weightDecay = 0.01
    const scalars = sides.doubles([1, 3e-5, 0, 1 - decay, 0.9, 0.999, 1e-8, 0, 3e-4, 1]);
    sides.wasm.adamw(param, grad, m, v, 0, 1, scalars);
    expect(sides.got(param, 1)[0]).toBe(Math.fround(1 - decay));
  });

  it('a centred variance that rounding makes negative counts as zero', () => {
    sides.reset();
    const param = sides.floats([1, 1, 1, 1]);
    const grad = sides.floats([0.3, 0.3, 0.3, 0.3]);
    const squares = sides.floats(new Array(4).fill(0.3 ** 2 * 0.999999));
    const mean = sides.floats(new Array(4).fill(0.3));
    const scalars = sides.doubles([1, 1e-12, 0, 1, 0.99, 1e-8, 0, 0, 1, 1e-12]);
    sides.wasm.rmspropCentered(param, grad, squares, mean, 0, 4, scalars);
    for (const p of sides.got(param, 4)) expect(Number.isFinite(p)).toBe(true);
  });
});
