import { beforeAll, describe, expect, it } from 'vitest';
import { bothLevels, deviation, LEVELS, numbers, type Sides } from './sides.ts';

let both: Sides[];
beforeAll(async () => {
  both = await bothLevels();
});

/** [outer, channels, inner], around vectors of four and eight. */
const BOXES = [
  [1, 1, 1], [2, 3, 1], [5, 4, 1], [7, 8, 1], [9, 13, 1], [3, 16, 1], [300, 21, 1], [2, 3, 2], [3, 2, 4], [2, 5, 7], [1, 3, 33],
] as const; // biome-ignore format: a table

describe.each(LEVELS)('%s', (level) => {
  it.each(BOXES)('normalises [%i, %i, %i] as the reference does, forward and backward', (outer, channels, inner) => {
    const sides = both[LEVELS.indexOf(level)];
    sides.reset();
    const count = outer * channels * inner;
    const x = sides.floats(numbers(1, count, -1, 3));
    const dy = sides.floats(numbers(2, count));
    const [gamma, beta, mean] = [3, 4, 5].map((seed) => sides.floats(numbers(seed, channels)));
    const variance = sides.floats(numbers(6, channels, 0.1, 2));
    const [moments, sums] = [0, 1].map(() => sides.doubles(new Float64Array(2 * channels + 1)));
    const [y, dx, evaluated] = [0, 1, 2].map(() => sides.room(count));
    const [dGamma, dBeta] = [0, 1].map(() => sides.room(channels));
    const scratch = sides.room(4 * channels);
    const box = [outer, channels, inner];
    sides.run('channelSums', moments, x, x, ...box);
    sides.run('channelSums', sums, dy, x, ...box);
    for (let i = 0; i <= 2 * channels; i++) {
      for (const at of [moments, sums]) {
        expect(Math.abs(sides.gotDouble(at + 8 * i) - sides.wantDouble(at + 8 * i))).toBeLessThan(1e-13 * count);
      }
    }
    expect(sides.gotDouble(moments + 16 * channels)).toBe(outer * inner);
    sides.run('batchNorm', y, x, gamma, beta, moments, ...box, 1e-3, scratch);
    sides.run('batchNormGrad', dx, x, dy, gamma, moments, sums, ...box, 1e-3, scratch);
    sides.run('batchNormParameterGrad', dGamma, moments, sums, channels, 1e-3, 0);
    sides.run('batchNormParameterGrad', dBeta, moments, sums, channels, 1e-3, 1);
    sides.run('batchNormInference', evaluated, x, gamma, beta, mean, variance, ...box, 1e-3, scratch);
    for (const at of [y, dx, evaluated]) {
      // One element a channel: divided by sqrt(epsilon), rounding shows thirty times larger.
      expect(deviation(sides.got(at, count), sides.want(at, count), 1e-5, 2e-5)).toBeLessThanOrEqual(1);
    }
    for (const at of [dGamma, dBeta]) {
      expect(deviation(sides.got(at, channels), sides.want(at, channels), 1e-6, 1e-6)).toBeLessThanOrEqual(1);
    }
    const before = sides.got(dx, count);
    sides.wasm.batchNormGrad(dy, x, dy, gamma, moments, sums, outer, channels, inner, 1e-3, scratch); // in place
    expect(sides.got(dy, count)).toEqual(before);
    sides.checkGuards();
  });

  it('keeps the variance of numbers far from zero', () => {
    const sides = both[LEVELS.indexOf(level)];
    sides.reset();
    const rows = 4096;
    const x = sides.floats(Array.from({ length: rows }, (_, i) => 1000 + (i % 2))); // variance 1/4
    const moments = sides.doubles([0, 0, 0]);
    const [gamma, beta] = [sides.floats([1]), sides.floats([0])];
    const y = sides.room(rows);
    sides.run('channelSums', moments, x, x, rows, 1, 1);
    sides.run('batchNorm', y, x, gamma, beta, moments, rows, 1, 1, 0, sides.room(4));
    expect([...sides.got(y, 2)]).toEqual([-1, 1]);
  });
});
