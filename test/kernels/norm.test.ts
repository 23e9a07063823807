import { describe, expect, it } from 'vitest';
import { bothLevels, deviation, numbers } from './sides.ts';

/** [rows, columns] with every remainder, around vectors of 4 and 16 elements. */
const SHAPES = [[0, 4], [1, 1], [3, 2], [2, 7], [5, 16], [4, 19], [3, 33], [2, 64], [9, 129]]; // biome-ignore format: a table

describe.each(await bothLevels())('$simd', (sides) => {
  it.each([0, 1])('statistics, result and gradients equal the reference, centre %d', (centre) => {
    for (const [rows, columns] of SHAPES) {
      for (const affine of [true, false]) {
        sides.reset();
        const n = rows * columns;
        const at = `${rows}x${columns} ${affine}`;
        const x = sides.floats(numbers(n, n, -2, 4));
        const dy = sides.floats(numbers(n + 1, n));
        const weight = affine ? sides.floats(numbers(n + 2, columns)) : 0;
        const bias = affine ? sides.floats(numbers(n + 3, columns)) : 0;
        const stats = sides.room(2 * rows);
        const [y, dx, dWeight] = [sides.room(n), sides.room(n), sides.room(columns)];
        sides.run('normStats', stats, x, rows, columns, 0.01, centre);
        expect(deviation(sides.got(stats, 2 * rows), sides.want(stats, 2 * rows), 1e-6, 1e-6), at).toBeLessThanOrEqual(
          1,
        );
        sides.setFloats(stats, sides.got(stats, 2 * rows));
        sides.run('normalize', y, x, stats, weight, bias, rows, columns);
        sides.run('normalizeGrad', dx, x, stats, weight, dy, rows, columns, centre);
        sides.run('normalizeScaleGrad', dWeight, x, stats, dy, rows, columns);
        for (const [p, size] of [[y, n], [dx, n], [dWeight, columns]]) {
          expect(deviation(sides.got(p, size), sides.want(p, size), 2e-6, 1e-5), at).toBeLessThanOrEqual(1);
        } // biome-ignore format: a list
        sides.checkGuards();
        const before = sides.gotInts(dx, n);
        sides.wasm.normalizeGrad(dy, x, stats, weight, dy, rows, columns, centre);
        expect(sides.gotInts(dy, n), `${at} in place`).toEqual(before);
      }
    }
  });

  it('a row has the same bits whatever the other rows are', () => {
    for (const columns of [3, 16, 37]) {
      sides.reset();
      const values = numbers(columns, 5 * columns);
      const all = sides.floats(values);
      const stats = sides.room(10);
      sides.wasm.normStats(stats, all, 5, columns, 1e-5, 1);
      for (let i = 0; i < 5; i++) {
        const [one, own] = [sides.floats(values.slice(i * columns, (i + 1) * columns), 4 * (i % 4)), sides.room(2)];
        sides.wasm.normStats(own, one, 1, columns, 1e-5, 1);
        expect(sides.gotInts(own, 2)).toEqual(sides.gotInts(stats + 8 * i, 2));
      }
    }
  });
});
