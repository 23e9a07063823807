import { describe, expect, it } from 'vitest';
import { bothLevels, deviation, numbers, SIZES } from './sides.ts';

/** [rows, columns]: narrow (at most 16 columns) and wide, with every remainder. */
const SHAPES = [
  [0, 4],
  [1, 1],
  [3, 2],
  [4, 10],
  [5, 10],
  [6, 16],
  [7, 17],
  [2, 33],
  [3, 100],
  [9, 3],
];

describe.each(await bothLevels())('$simd', (sides) => {
  it.each(['softmax', 'logSoftmax'] as const)('%s equals the reference and works in place', (name) => {
    for (const [rows, columns] of SHAPES) {
      const n = rows * columns;
      sides.reset();
      const x = sides.floats(numbers(n, n, -9, 9));
      const out = sides.room(n);
      sides.run(name, out, x, rows, columns);
      expect(deviation(sides.got(out, n), sides.want(out, n), 1e-6, 2e-7), `${rows}x${columns}`).toBeLessThanOrEqual(1);
      sides.checkGuards();
      sides.wasm[name](x, x, rows, columns);
      expect(sides.gotInts(x, n)).toEqual(sides.gotInts(out, n));
    }
  });

  it.each(['softmaxGrad', 'logSoftmaxGrad'] as const)('%s equals the reference', (name) => {
    for (const [rows, columns] of SHAPES) {
      const n = rows * columns;
      sides.reset();
      const y = sides.floats(name === 'softmaxGrad' ? numbers(n, n, 0, 1) : numbers(n, n, -4, 0));
      const dy = sides.floats(numbers(n + 1, n));
      const out = sides.room(n);
      sides.run(name, out, y, dy, rows, columns);
      expect(deviation(sides.got(out, n), sides.want(out, n), 1e-6, 3e-7 * columns)).toBeLessThanOrEqual(1);
      sides.checkGuards();
    }
  });

  it('softmaxCrossEntropy and its gradient equal the reference, with and without smoothing', () => {
    for (const [rows, columns] of SHAPES) {
      for (const smoothing of [0, 0.125]) {
        const n = rows * columns;
        sides.reset();
        const logits = sides.floats(numbers(n, n, -9, 9));
        const labels = sides.ints(numbers(rows, rows, 0, columns).map(Math.floor));
        const dLoss = sides.floats(numbers(n + 1, rows));
        const [loss, gradient] = [sides.room(rows), sides.room(n)];
        sides.run('softmaxCrossEntropy', loss, logits, labels, rows, columns, smoothing);
        sides.run('softmaxCrossEntropyGrad', gradient, logits, labels, dLoss, rows, columns, smoothing);
        const at = `${rows}x${columns} ${smoothing}`;
        expect(deviation(sides.got(loss, rows), sides.want(loss, rows), 1e-6, 3e-7), at).toBeLessThanOrEqual(1);
        expect(deviation(sides.got(gradient, n), sides.want(gradient, n), 1e-6, 2e-7), at).toBeLessThanOrEqual(1);
        sides.checkGuards();
        sides.wasm.softmaxCrossEntropyGrad(logits, logits, labels, dLoss, rows, columns, smoothing);
        expect(sides.gotInts(logits, n), `${at} in place`).toEqual(sides.gotInts(gradient, n));
      }
    }
  });

  it.each([3, 40])('a label outside %d classes gives NaN in its row only', (columns) => {
    sides.reset();
    const rows = 6;
    const logits = sides.floats(numbers(1, rows * columns));
    const labels = sides.ints([0, -1, 1, columns, 2, 0x7fffffff]);
    const dLoss = sides.floats(new Array(rows).fill(1));
    const [loss, gradient] = [sides.room(rows), sides.room(rows * columns)];
    sides.wasm.softmaxCrossEntropy(loss, logits, labels, rows, columns, 0);
    sides.wasm.softmaxCrossEntropyGrad(gradient, logits, labels, dLoss, rows, columns, 0);
    expect([...sides.got(loss, rows)].map(Number.isNaN)).toEqual([false, true, false, true, false, true]);
    for (let i = 0; i < rows; i++) {
      const row = sides.got(gradient + 4 * i * columns, columns);
      expect(row.every(Number.isNaN)).toBe(i % 2 === 1);
    }
  });

  it.each([3, 40])('rows of %d huge, infinite or missing logits behave', (columns) => {
    sides.reset();
    const row = (first: number, rest: number): number[] => [first, ...new Array(columns - 1).fill(rest)];
    const logits = sides.floats([
      ...row(1e30, -1e30),
      ...row(3, Number.NEGATIVE_INFINITY),
      ...row(Number.NaN, 0),
      ...row(-3e38, -3e38),
    ]);
    const labels = sides.ints([0, 0, 0, 0]);
    const [out, loss] = [sides.room(4 * columns), sides.room(4)];
    sides.wasm.softmax(out, logits, 4, columns);
    const probabilities = [0, 1, 2, 3].map((i) => [...sides.got(out + 4 * i * columns, columns)]);
    expect(probabilities[0]).toEqual(row(1, 0));
    expect(probabilities[1]).toEqual(row(1, 0));
    expect(probabilities[2]).toEqual(row(Number.NaN, Number.NaN));
    for (const p of probabilities[3]) expect(p).toBeCloseTo(1 / columns, 6);
    sides.wasm.softmaxCrossEntropy(loss, logits, labels, 4, columns, 0);
    const losses = sides.got(loss, 4);
    expect(losses[0]).toBe(0);
    expect(losses[1]).toBe(0);
    expect(losses[2]).toBeNaN();
    expect(losses[3]).toBeCloseTo(Math.log(columns), 5);
  });

  it('a row has the same bits whatever the other rows are and wherever it stands', () => {
    for (const columns of [2, 10, 16, 17, 33]) {
      const rows = 7;
      sides.reset();
      const values = numbers(columns, rows * columns, -5, 5);
      const all = sides.floats(values);
      const out = sides.room(rows * columns);
      sides.wasm.softmax(out, all, rows, columns);
      for (let i = 0; i < rows; i++) {
        const one = sides.floats(values.slice(i * columns, (i + 1) * columns), 4 * (i % 4));
        sides.wasm.softmax(one, one, 1, columns);
        expect(sides.gotInts(one, columns)).toEqual(sides.gotInts(out + 4 * i * columns, columns));
      }
    }
  });

  it('binary cross-entropy and its gradient equal the reference', () => {
    for (const n of SIZES) {
      sides.reset();
      const z = sides.floats(numbers(n, n, -30, 30));
      const target = sides.floats(numbers(n + 1, n, 0, 1).map((v, i) => (i % 3 === 0 ? Math.round(v) : v)));
      const dy = sides.floats(numbers(n + 2, n));
      const [loss, gradient] = [sides.room(n), sides.room(n)];
      sides.run('bceWithLogits', loss, z, target, n);
      sides.run('bceWithLogitsGrad', gradient, z, target, dy, n);
      // max(z, 0) - z t cancels: the bound is an ulp of |z|.
      expect(deviation(sides.got(loss, n), sides.want(loss, n), 1e-6, 4e-6)).toBeLessThanOrEqual(1);
      expect(deviation(sides.got(gradient, n), sides.want(gradient, n), 1e-6, 2e-7)).toBeLessThanOrEqual(1);
      sides.checkGuards();
    }
  });

  it('argmax takes the first largest element, inTopK counts larger ones', () => {
    for (const [rows, columns] of SHAPES) {
      sides.reset();
      const x = sides.floats(numbers(rows, rows * columns).map((v) => Math.round(4 * v)));
      const labels = sides.ints(numbers(rows, rows, 0, columns).map(Math.floor));
      const [best, hits] = [sides.room(rows), sides.room(rows)];
      sides.run('argmax', best, x, rows, columns);
      expect([...sides.gotInts(best, rows)]).toEqual([...sides.wantInts(best, rows)]);
      for (const k of [1, 2, 5]) {
        sides.run('inTopK', hits, x, labels, rows, columns, k);
        expect([...sides.got(hits, rows)]).toEqual([...sides.want(hits, rows)]);
      }
      sides.checkGuards();
    }
  });
});
