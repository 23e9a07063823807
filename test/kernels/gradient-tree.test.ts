import { describe, expect, it } from 'vitest';
import { bothLevels, deviation, numbers, SIZES } from './sides.ts';

describe.each(await bothLevels())('$simd', (sides) => {
  const norm = (values: readonly number[]): number => {
    sides.reset();
    return sides.wasm.squaredNorm(sides.floats(values), values.length);
  };

  it('addPartials adds, addPartials4 has the bits of three addPartials', () => {
    for (const n of SIZES) {
      sides.reset();
      const [a, b, c, d] = [1, 2, 3, 4].map((seed) =>
        sides.floats(numbers(seed * 100 + n, n).map((v) => v * 10 ** (seed - 3))),
      );
      const [ab, cd, twice, once] = [0, 0, 0, 0].map(() => sides.room(n));
      sides.wasm.addPartials(ab, a, b, n);
      sides.wasm.addPartials(cd, c, d, n);
      sides.wasm.addPartials(twice, ab, cd, n);
      sides.wasm.addPartials4(once, a, b, c, d, n);
      expect([...sides.got(ab, n)]).toEqual(
        [...sides.got(a, n)].map((v, i) => Math.fround(v + sides.f32[(b >> 2) + i])),
      );
      expect(sides.gotInts(once, n)).toEqual(sides.gotInts(twice, n));
      sides.wasm.addPartials4(a, a, b, c, d, n);
      expect(sides.gotInts(a, n)).toEqual(sides.gotInts(twice, n));
      sides.checkGuards();
    }
  });

  it('squaredNorm is the sum of squares, at every length', () => {
    for (const n of [...SIZES, 255, 256, 257, 1000, 16384, 16397]) {
      const values = numbers(n, n);
      const exact = values.reduce((sum, v) => sum + Math.fround(v) ** 2, 0);
      expect(Math.abs(norm(values) - exact), `${n}`).toBeLessThanOrEqual(2e-7 * exact);
    }
  });

  it('squaredNorm of huge and of tiny finite numbers is finite and right', () => {
    const huge = numbers(1, 300).map((v) => v * 1e20);
    const tiny = numbers(2, 300).map((v) => v * 1e-25);
    for (const values of [huge, tiny]) {
      const exact = values.reduce((sum, v) => sum + Math.fround(v) ** 2, 0);
      expect(Math.abs(norm(values) / exact - 1)).toBeLessThan(1e-12);
    }
    expect(norm([3e38, 3e38, 3e38])).toBeCloseTo(3 * Math.fround(3e38) ** 2, -70);
    expect(norm(new Array(100).fill(0))).toBe(0);
  });

  it('squaredNorm says NaN or infinity when an element does, wherever it stands', () => {
    for (const at of [0, 5, 255, 256, 298, 299]) {
      const values = numbers(3, 300);
      values[at] = Number.NaN;
      expect(norm(values)).toBeNaN();
      values[at] = Number.NEGATIVE_INFINITY;
      expect(norm(values)).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it('clampScaled clips by value after scaling and keeps NaN', () => {
    for (const n of SIZES) {
      sides.reset();
      const x = sides.floats(numbers(n, n, -4, 4));
      const out = sides.room(n);
      sides.run('clampScaled', out, x, n, 0.5, 1);
      expect(deviation(sides.got(out, n), sides.want(out, n), 1e-7)).toBeLessThanOrEqual(1);
      sides.checkGuards();
    }
    sides.reset();
    const x = sides.floats([Number.NaN, Number.POSITIVE_INFINITY, -9]);
    sides.wasm.clampScaled(x, x, 3, 0.5, 1);
    expect([...sides.got(x, 3)]).toEqual([Number.NaN, 1, -1]);
  });
});
