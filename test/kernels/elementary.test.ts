import { describe, expect, it } from 'vitest';
import { philox } from '../fixtures/philox.ts';
import { bothLevels } from './sides.ts';

/** Distance of neighbouring f32 numbers at |x|. */
function ulp(x: number): number {
  const magnitude = Math.max(Math.abs(x), 2 ** -126);
  return 2 ** (Math.floor(Math.log2(magnitude)) - 23);
}

/** erf by Abramowitz & Stegun 7.1.6, in f64. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Kernel, its exact value, ranges of arguments, and the largest error in ulp with rounded products / with FMA. */
const table = [
  ['exp', Math.exp, [[-1, 1], [-87, 88], [-103, -80]], 1.5, 1],
  ['log', Math.log, [[0.5, 2], [1e-38, 1e38], [1e-44, 1e-38]], 1.2, 1],
  ['tanh', Math.tanh, [[-0.7, 0.7], [-10, 10]], 2.6, 2.6],
  ['erf', erf, [[-1.2, 1.2], [-5, 5]], 2, 1.3],
  ['sin', Math.sin, [[-4, 4], [-1e5, 1e5], [-6e7, 6e7], [-3e38, 3e38]], 0.6, 0.6],
  ['cos', Math.cos, [[-4, 4], [-1e5, 1e5], [-6e7, 6e7], [-3e38, 3e38]], 0.6, 0.6],
  ['sigmoid', sigmoid, [[-3, 3], [-80, 80]], 3, 2.5],
  ['softplus', (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), [[-3, 3], [-80, 80]], 3, 2.5],
  ['silu', (x: number) => x * sigmoid(x), [[-3, 3], [-80, 80]], 4, 3.5],
  ['elu', (x: number) => (x > 0 ? x : Math.expm1(x)), [[-1e-3, 0], [-2, 2], [-30, 0]], 3, 2.5],
] as const; // biome-ignore format: a table

const COUNT = 1 << 15;

describe.each(await bothLevels())('error in units of the last place, $simd', (sides) => {
  it.each(table)('%s', (name, exact, ranges, rounded, fused) => {
    const limit = sides.simd === 'relaxed' ? fused : rounded;
    const next = philox(3);
    let worst = 0;
    let at = 0;
    for (const [low, high] of ranges) {
      sides.reset();
      const x = sides.room(COUNT);
      const out = sides.room(COUNT);
      // Ranges of many magnitudes are sampled by magnitude.
      const byMagnitude = low > 0 && high / low > 1e3;
      for (let i = 0; i < COUNT; i++) {
        const u = next() + next() / 2 ** 24;
        sides.f32[(x >> 2) + i] = byMagnitude ? low * (high / low) ** u : low + (high - low) * u;
      }
      sides.wasm[name](out, x, COUNT, 1);
      for (let i = 0; i < COUNT; i++) {
        const argument = sides.f32[(x >> 2) + i];
        const value = exact(argument);
        const error = Math.abs(sides.f32[(out >> 2) + i] - value) / ulp(value);
        if (!(error <= worst)) {
          worst = error;
          at = argument;
        }
      }
    }
    expect(worst, `at ${at}`).toBeLessThanOrEqual(limit);
  });

  it('gelu and its slope, absolute: the left side is a difference of nearly equal numbers', () => {
    sides.reset();
    const [x, ones, y, slope] = [sides.room(COUNT), sides.room(COUNT), sides.room(COUNT), sides.room(COUNT)];
    for (let i = 0; i < COUNT; i++) sides.f32[(x >> 2) + i] = -12 + (24 * i) / COUNT;
    sides.f32.fill(1, ones >> 2, (ones >> 2) + COUNT);
    sides.wasm.gelu(y, x, COUNT, 0);
    sides.wasm.geluGrad(slope, x, ones, COUNT, 0);
    const wrong: number[] = [];
    for (let i = 0; i < COUNT; i++) {
      const argument = sides.f32[(x >> 2) + i];
      const cdf = 0.5 * (1 + erf(argument / Math.SQRT2));
      const density = Math.exp((-argument * argument) / 2) / Math.sqrt(2 * Math.PI);
      const error = Math.abs(sides.f32[(y >> 2) + i] - argument * cdf);
      const slopeError = Math.abs(sides.f32[(slope >> 2) + i] - cdf - argument * density);
      const near = error < 8e-7 + 1.2e-7 * Math.max(0, argument) && slopeError < 4e-7;
      if (!near) wrong.push(argument);
    }
    expect(wrong).toEqual([]);
  });

  it('pow', () => {
    const next = philox(5);
    sides.reset();
    const [a, b, out] = [sides.room(COUNT), sides.room(COUNT), sides.room(COUNT)];
    for (let i = 0; i < COUNT; i++) {
      sides.f32[(a >> 2) + i] = i % 2 ? 10 * next() : 2 ** (80 * next() - 40);
      sides.f32[(b >> 2) + i] = i % 2 ? 10 * next() - 5 : 4 * next() - 2;
    }
    sides.wasm.pow(out, a, b, 1, COUNT, 0, 1, 0, 1);
    let worst = 0;
    for (let i = 0; i < COUNT; i++) {
      const value = sides.f32[(a >> 2) + i] ** sides.f32[(b >> 2) + i];
      if (value < 3.4e38) worst = Math.max(worst, Math.abs(sides.f32[(out >> 2) + i] - value) / ulp(value));
    }
    expect(worst).toBeLessThanOrEqual(0.51);
  });
});
