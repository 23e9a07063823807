import { describe, expect, it } from 'vitest';
import { bothLevels, deviation, numbers } from './sides.ts';

/** images, height, width, channels; window, stride, dilation; channels of a group (0: all). */
const WINDOWS = [
  [2, 6, 7, 1, [3, 3], [1, 1], [1, 1], 0],
  [1, 5, 6, 3, [2, 3], [1, 2], [1, 1], 0],
  [2, 5, 5, 4, [3, 3], [2, 1], [1, 1], 0],
  [1, 7, 7, 5, [2, 2], [1, 1], [3, 2], 0],
  [1, 6, 5, 12, [3, 3], [1, 1], [1, 1], 4],
  [2, 4, 5, 6, [2, 2], [1, 1], [1, 1], 3],
  [1, 5, 5, 33, [3, 3], [1, 1], [1, 1], 0],
] as const;

/** images, height, width, channels; window, stride, padding. */
const POOLS = [
  [2, 4, 6, 1, [2, 2], [2, 2], [0, 0]],
  [2, 4, 6, 7, [2, 2], [2, 2], [0, 0]],
  [1, 6, 4, 32, [2, 2], [2, 2], [0, 0]],
  [1, 5, 7, 5, [2, 2], [2, 2], [0, 0]],
  [2, 5, 6, 6, [3, 3], [1, 1], [1, 1]],
  [1, 7, 6, 9, [3, 2], [2, 3], [1, 1]],
  [1, 4, 4, 3, [2, 2], [2, 2], [1, 1]],
] as const;

describe.each(await bothLevels())('$simd', (sides) => {
  it.each(WINDOWS)(
    'im2col and col2im: %i images %i x %i x %i, window %j',
    (images, height, width, channels, w, s, d, g) => {
      sides.reset();
      const run = g === 0 ? channels : g;
      const out = [height, width].map((n, i) => Math.floor((n - (w[i] - 1) * d[i] - 1) / s[i]) + 1);
      const joined = g === 0 && d[1] === 1;
      const geometry = sides.ints([
      height * width * channels, out[0], s[0] * width * channels, out[1], s[1] * channels, w[0], d[0] * width * channels,
      joined ? 1 : w[1], d[1] * channels, joined ? w[1] * run : run,
    ]); // biome-ignore format: the geometry
      const [pixels, size] = [images * height * width * channels, images * out[0] * out[1] * w[0] * w[1] * run];
      const x = sides.floats(numbers(1, pixels));
      const columns = sides.room(size);
      sides.run('im2col', columns, x, images, geometry);
      expect([...sides.got(columns, size)]).toEqual([...sides.want(columns, size)]);

      const whole = sides.floats(numbers(2, size).map((v) => Math.round(v * 64) / 64)); // sums are exact
      const sums = sides.floats(numbers(3, pixels).map((v) => Math.round(v * 64) / 64));
      sides.run('col2im', sums, whole, images, geometry);
      expect([...sides.got(sums, pixels)]).toEqual([...sides.want(sums, pixels)]);
      sides.checkGuards();
    },
  );

  it.each(WINDOWS)('depthwise: %i images %i x %i x %i, window %j', (images, height, width, channels, w, s, d) => {
    sides.reset();
    const out = [height, width].map((n, i) => Math.floor((n - (w[i] - 1) * d[i] - 1) / s[i]) + 1);
    const geometry = sides.ints([
      height * width * channels, out[0], s[0] * width * channels, out[1], s[1] * channels, w[0], d[0] * width * channels,
      w[1], d[1] * channels, channels,
    ]); // biome-ignore format: the geometry
    const sizes = [images * height * width * channels, w[0] * w[1] * channels, images * out[0] * out[1] * channels];
    const [x, filter, dy] = sizes.map((size, i) => sides.floats(numbers(i, size)));
    const y = sides.room(sizes[2]);
    const [dx, dw] = [0, 1].map((i) => sides.floats(numbers(7 + i, sizes[i])));
    sides.run('depthwise', y, x, filter, images, geometry);
    sides.run('depthwiseGradInput', dx, dy, filter, images, geometry);
    sides.run('depthwiseGradWeight', dw, x, dy, images, geometry);
    for (const [i, p] of [dx, dw, y].entries()) {
      expect(deviation(sides.got(p, sizes[i]), sides.want(p, sizes[i]), 1e-6, 3e-6)).toBeLessThanOrEqual(1);
    }
    sides.checkGuards();
  });

  it.each(POOLS)(
    'pooling: %i images %i x %i x %i, window %j',
    (images, height, width, channels, window, stride, pads) => {
      sides.reset();
      const out = [height, width].map((n, d) => Math.floor((n + 2 * pads[d] - window[d]) / stride[d]) + 1);
      const geometry = sides.ints([height, width, channels, ...out, ...window, ...stride, ...pads]);
      const [pixels, pooled] = [images * height * width * channels, images * out[0] * out[1] * channels];
      const quarters = (seed: number, count: number): number[] =>
        numbers(seed, count).map((v) => Math.round(v * 4) / 4 + 0); // ties
      const x = sides.floats(quarters(1, pixels));
      const v = sides.floats(quarters(2, pixels));
      const dy = sides.floats(quarters(3, pooled));
      const [largest, picked, mean] = [0, 0, 0].map(() => sides.room(pooled));
      const [dMax, dMean] = [7, 8].map((seed) => sides.floats(numbers(seed, pixels)));
      sides.run('maxPool', largest, x, images, geometry);
      sides.run('maxPoolPick', picked, x, v, images, geometry);
      sides.run('maxPoolGrad', dMax, x, dy, images, geometry);
      sides.run('avgPool', mean, x, images, geometry);
      sides.run('avgPoolGrad', dMean, dy, images, geometry);
      for (const [p, count] of [[largest, pooled], [picked, pooled], [dMax, pixels]]) {
      expect([...sides.got(p, count)]).toEqual([...sides.want(p, count)]);
    } // biome-ignore format: short
      expect(deviation(sides.got(mean, pooled), sides.want(mean, pooled), 3e-7, 1e-7)).toBeLessThanOrEqual(1);
      expect(deviation(sides.got(dMean, pixels), sides.want(dMean, pixels), 1e-6, 1e-6)).toBeLessThanOrEqual(1);
      sides.checkGuards();
    },
  );

  it('a NaN in a window is its maximum', () => {
    sides.reset();
    const geometry = sides.ints([2, 2, 4, 1, 1, 2, 2, 2, 2, 0, 0]);
    const out = sides.room(4);
    for (let at = 0; at < 16; at++) {
      const values = numbers(5, 16);
      values[at] = Number.NaN;
      sides.wasm.maxPool(out, sides.floats(values), 1, geometry);
      expect([...sides.got(out, 4)].map(Number.isNaN)).toEqual([0, 1, 2, 3].map((c) => c === at % 4));
    }
  });
});
