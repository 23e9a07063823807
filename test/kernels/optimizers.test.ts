import { describe, expect, it } from 'vitest';
import { bothLevels, deviation, numbers, SIZES } from './sides.ts';

/** Scalars of one step by kernel, as src/optim writes them: gradScale, lr, ... */
const SCALARS = {
  sgd: [0.5, 0.1, 0.01],
  momentum: [0.5, 0.1, 0.01, 0.9, 0.8],
  nesterov: [0.5, 0.1, 0.01, 0.9, 1],
  adagrad: [0.5, 0.1, 0.01, 1e-10, 0.09],
  rmsprop: [0.5, 0.01, 0.01, 0.99, 1e-8, 0],
  rmspropMomentum: [0.5, 0.01, 0.01, 0.99, 1e-8, 0.9],
  rmspropCentered: [0.5, 0.01, 0.01, 0.99, 1e-8, 0],
  rmspropCenteredMomentum: [0.5, 0.01, 0.01, 0.99, 1e-8, 0.9],
  adam: [0.5, 0.001, 0.01, 0.9, 0.999, 1e-8, 0.00526, 22.37],
  adamw: [0.5, 0.001, 0.01, 0.9, 0.999, 1e-8, 0.00526, 22.37],
} as const;
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
        sides.floats(numbers(n + 5, n)),
      ];
      const scalars = sides.doubles(SCALARS[name]);
      for (let step = 0; step < 3; step++) sides.run(name, param, grad, slots[0], slots[1], slots[2], n, scalars);
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
    const inputs = [numbers(1, n), numbers(2, n), numbers(3, n, 0.5, 1), numbers(4, n, 0, 0.5), numbers(5, n)];
    const run = (from: number, to: number, shift: number): Int32Array[] => {
      sides.reset();
      const [param, grad, ...slots] = inputs.map((values) => sides.floats(values.slice(from, to), shift));
      const scalars = sides.doubles(SCALARS[name]);
      sides.wasm[name](param, grad, slots[0], slots[1], slots[2], to - from, scalars);
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
    const scalars = sides.doubles([1, 3e-5, 0.01, 0.9, 0.999, 1e-8, 3e-4, 1]);
    sides.wasm.adamw(param, grad, m, v, 0, 1, scalars);
    expect(sides.got(param, 1)[0]).toBe(Math.fround(1 - decay));
  });

  it('a centred variance that rounding makes negative counts as zero', () => {
    sides.reset();
    const param = sides.floats([1, 1, 1, 1]);
    const grad = sides.floats([0.3, 0.3, 0.3, 0.3]);
    const squares = sides.floats(new Array(4).fill(0.3 ** 2 * 0.999999));
    const mean = sides.floats(new Array(4).fill(0.3));
    const scalars = sides.doubles([1, 1e-12, 0, 0.99, 1e-8, 0]);
    sides.wasm.rmspropCentered(param, grad, squares, mean, 0, 4, scalars);
    for (const p of sides.got(param, 4)) expect(Number.isFinite(p)).toBe(true);
  });
});
