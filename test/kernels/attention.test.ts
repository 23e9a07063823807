import { describe, expect, it } from 'vitest';
import { bothLevels, deviation, numbers } from './sides.ts';

/** [batch, heads, queries, keys, causal, block] */
const SHAPES = [
  [1, 1, 1, 1, 0, 64], [2, 2, 3, 5, 0, 64], [1, 3, 4, 17, 0, 64], [2, 1, 5, 5, 1, 64], [1, 2, 9, 9, 1, 4], [1, 1, 33, 33, 1, 16],
]; // biome-ignore format: a table

describe.each(await bothLevels())('$simd', (sides) => {
  it.each(SHAPES)('softmax and gradient of %dx%dx%dx%d, causal %d, blocks of %d', (...shape) => {
    const [batch, heads, queries, keys, causal, block] = shape;
    const n = batch * heads * queries * keys;
    for (const masked of [false, true]) {
      sides.reset();
      const x = sides.floats(numbers(n, n, -30, 30));
      const mask = masked ? sides.floats(numbers(n + 1, batch * keys).map((v) => Number(v > -0.3))) : 0;
      const dp = sides.floats(numbers(n + 2, n));
      // What lies behind a block is nobody's: the same on both sides before, and still there afterwards.
      const [p, dx] = [sides.floats(new Array(n).fill(7)), sides.floats(new Array(n).fill(7))];
      sides.run('attentionSoftmax', p, x, mask, batch, heads, queries, keys, 0.3, causal, block);
      expect(deviation(sides.got(p, n), sides.want(p, n), 2e-6, 2e-7)).toBeLessThanOrEqual(1);
      sides.setFloats(p, sides.got(p, n));
      sides.run('attentionSoftmaxGrad', dx, p, dp, batch, heads, queries, keys, 0.3, causal, block);
      expect(deviation(sides.got(dx, n), sides.want(dx, n), 2e-6, 2e-7)).toBeLessThanOrEqual(1);
      sides.checkGuards();

      const before = [sides.got(p, n), sides.got(dx, n)].map((values) => values.map((v) => (v === 7 ? 0 : v)));
      sides.wasm.attentionSoftmax(x, x, mask, batch, heads, queries, keys, 0.3, causal, block);
      sides.wasm.attentionSoftmaxGrad(dp, p, dp, batch, heads, queries, keys, 0.3, causal, block);
      for (const [i, place] of [x, dp].entries()) {
        const after = sides.got(place, n).map((v, j) => (sides.got(p, n)[j] === 7 ? 0 : v));
        expect(after, 'in place').toEqual(before[i]);
      }
    }
  });

  it('a query that sees no key gets zeros, and gives no gradient', () => {
    sides.reset();
    const x = sides.floats(numbers(1, 18));
    const mask = sides.floats([0, 0, 0, 1, 1, 0]);
    const dp = sides.floats(numbers(2, 18));
    sides.wasm.attentionSoftmax(x, x, mask, 2, 1, 3, 3, 1, 0, 64);
    expect([...sides.got(x, 9)]).toEqual(new Array(9).fill(0));
    expect(sides.got(x, 18)[9]).toBeGreaterThan(0);
    sides.wasm.attentionSoftmaxGrad(dp, x, dp, 2, 1, 3, 3, 1, 0, 64);
    expect([...sides.got(dp, 9)].every((v) => v === 0)).toBe(true);
  });
});
