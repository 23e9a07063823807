import { describe, expect, it } from 'vitest';
import { REDUCE } from '../../src/kernels/table.ts';
import { bothLevels, deviation, numbers, SIZES } from './sides.ts';

/** [outer, length, inner] */
const SHAPES = [
  [1, 0, 3],
  [1, 1, 1],
  [1, 5, 1],
  [3, 100, 1],
  [2, 4099, 1],
  [1, 100, 16],
  [1, 300, 37],
  [2, 7, 3],
  [2, 1000, 5],
  [4, 3, 1],
  [0, 3, 2],
  [3, 2, 64],
];

describe.each(await bothLevels())('$simd', (sides) => {
  it.each(REDUCE)('%s equals the reference', (name) => {
    for (const [outer, length, inner] of SHAPES) {
      sides.reset();
      const x = sides.floats(numbers(length, outer * length * inner, 0, 1));
      const out = sides.room(outer * inner);
      sides.run(name, out, x, outer, length, inner);
      const [got, want] = [sides.got(out, outer * inner), sides.want(out, outer * inner)];
      expect(deviation(got, want, 4e-7), `[${outer}, ${length}, ${inner}]`).toBeLessThanOrEqual(1);
      sides.checkGuards();
    }
  });

  it('reduceMax and reduceMin give NaN where a NaN is, and keep infinities', () => {
    sides.reset();
    const rows = [
      [1, Number.NaN, 3, 4, 5],
      [Number.NEGATIVE_INFINITY, 2, 3, Number.POSITIVE_INFINITY, 0],
    ];
    const x = sides.floats(rows.flat());
    const out = sides.room(5);
    sides.wasm.reduceMax(out, x, 2, 5, 1);
    expect([...sides.got(out, 2)]).toEqual([Number.NaN, Number.POSITIVE_INFINITY]);
    sides.wasm.reduceMin(out, x, 1, 2, 5);
    expect([...sides.got(out, 5)]).toEqual([Number.NEGATIVE_INFINITY, Number.NaN, 3, 4, 0]);
  });

  it('a long sum of f32 keeps its digits', () => {
    sides.reset();
    const n = 1 << 20;
    const x = sides.room(n);
    sides.f32.fill(0.1, x >> 2, (x >> 2) + n);
    const out = sides.room(1);
    sides.wasm.reduceSum(out, x, 1, n, 1);
    expect(Math.abs(sides.got(out, 1)[0] / (n * Math.fround(0.1)) - 1)).toBeLessThan(1e-5);
    sides.wasm.reduceSum(out, x, 1, n >> 2, 4);
    expect(Math.abs(sides.got(out, 1)[0] / ((n >> 2) * Math.fround(0.1)) - 1)).toBeLessThan(1e-5);
  });

  it('sumF64 and dotF64 equal the reference to the last digits', () => {
    for (const n of [...SIZES, 1000, 4097]) {
      sides.reset();
      const x = sides.floats(numbers(n, n));
      const weight = sides.floats(numbers(n + 1, n));
      const [sum, dot] = [sides.doubles([7]), sides.doubles([7])];
      sides.run('sumF64', sum, x, n);
      sides.run('dotF64', dot, x, weight, n);
      expect(Math.abs(sides.gotDouble(sum) - sides.wantDouble(sum))).toBeLessThanOrEqual(1e-15 * n);
      expect(Math.abs(sides.gotDouble(dot) - sides.wantDouble(dot))).toBeLessThanOrEqual(1e-15 * n);
      sides.checkGuards();
    }
  });

  it('reductions give the same bits wherever their arrays lie', () => {
    const values = numbers(3, 7 * 129 * 5);
    const run = (shift: number): number[] => {
      sides.reset();
      const x = sides.floats(values, shift);
      const out = sides.room(7 * 5, shift);
      const sum = sides.doubles([0]);
      sides.wasm.reduceSum(out, x, 7, 129, 5);
      const columns = [...sides.got(out, 35)];
      sides.wasm.reduceSum(out, x, 5, 7 * 129, 1);
      sides.wasm.sumF64(sum, x, values.length);
      return [...columns, ...sides.got(out, 5), sides.gotDouble(sum), sides.wasm.squaredNorm(x, values.length)];
    };
    const aligned = run(0);
    for (const shift of [4, 8, 12, 20]) expect(run(shift)).toEqual(aligned);
  });
});
