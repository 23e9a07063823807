import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cos, exp, log, pow, sin, tanh } from '../../src/kernels/math.ts';
import { numbers } from './sides.ts';

const inf = Number.POSITIVE_INFINITY;

/** The largest relative error over `count` numbers in [low, high). */
function worst(f: (x: number) => number, exact: (x: number) => number, low: number, high: number): number {
  let error = 0;
  for (const x of numbers(1, 20_000, low, high)) error = Math.max(error, Math.abs(f(x) / exact(x) - 1));
  return error;
}

describe('relative error against the functions of this engine', () => {
  it.each([
    ['exp', exp, Math.exp, -700, 700],
    ['exp near 0', exp, Math.exp, -0.4, 0.4],
    ['log', log, Math.log, 1e-3, 0.9],
    ['log of large numbers', log, Math.log, 2, 1e12],
    ['sin', sin, Math.sin, 0.1, 3],
    ['cos', cos, Math.cos, -1.5, 1.5],
    ['cos of schedules', cos, Math.cos, 1.6, 4.7],
    ['tanh', tanh, Math.tanh, -4, 4],
    ['tanh near 0', tanh, Math.tanh, -0.5, 0.5],
    ['cube root', (x: number) => pow(x, 1 / 3), (x: number) => Math.cbrt(x), 1e-3, 1e6],
    ['power -0.8', (x: number) => pow(x, -0.8), (x: number) => x ** -0.8, 1, 1e5],
  ] as const)('%s is at most 2e-15', (_name, f, exact, low, high) => {
    expect(worst(f, exact, low, high)).toBeLessThanOrEqual(2e-15);
  });

  it('sin and cos of large arguments are right to 1e-15', () => {
    for (const x of numbers(2, 20_000, -1.6e6, 1.6e6)) {
      expect(Math.abs(sin(x) - Math.sin(x))).toBeLessThanOrEqual(1e-15);
      expect(Math.abs(cos(x) - Math.cos(x))).toBeLessThanOrEqual(1e-15);
    }
  });
});

/** base^n exactly, rounded once: base = mantissa * 2^exponent as BigInt. */
function exactPower(base: number, n: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, base);
  const bits = view.getBigUint64(0);
  const mantissa = (bits & 0xfffffffffffffn) | 0x10000000000000n;
  const exponent = (Number((bits >> 52n) & 0x7ffn) - 1075) * n;
  const power = mantissa ** BigInt(n);
  const excess = power.toString(2).length - 64;
  return Number(power >> BigInt(excess)) * 2 ** (exponent + excess);
}

describe('pow with integer exponents', () => {
  it.each([0.9, 0.95, 0.99, 0.999, 0.9999, 1.0001])('%d^n is exact to an ulp', (base) => {
    for (const n of [1, 2, 3, 10, 100, 1000, 3333]) {
      const exact = exactPower(base, n);
      expect(Math.abs(pow(base, n) / exact - 1), `${base}^${n}`).toBeLessThanOrEqual(2.3e-16);
    }
  });

  it('bias corrections stay good for long runs', () => {
    // 0.999^100000 by logarithms in extended precision: log(0.999) = -0.0010005003335835335001...
    const exact = Math.exp(-100 - 0.05003335835335001);
    expect(Math.abs(pow(0.999, 1e5) / exact - 1)).toBeLessThan(1e-10);
    expect(pow(0.9, 1e6)).toBe(0);
    expect(pow(1.5, 1e6)).toBe(inf);
  });

  it('powers of two are exact over the whole range', () => {
    for (let n = -1074; n <= 1023; n++) expect(pow(2, n)).toBe(2 ** n);
    expect(pow(2, 1024)).toBe(inf);
    expect(pow(2, -1076)).toBe(0);
  });

  it('signs and special values', () => {
    expect([pow(-2, 3), pow(-2, 4), pow(-2, -1), pow(0, 0), pow(0, 3), pow(0, -1), pow(Number.NaN, 0)]).toEqual([
      -8,
      16,
      -0.5,
      1,
      0,
      inf,
      1,
    ]);
    expect(pow(-8, 1 / 3)).toBeNaN();
    expect(pow(1e200, -2)).toBe(0);
    expect(pow(1e-200, -2)).toBe(inf);
  });
});

it('special values', () => {
  expect([exp(0), exp(-inf), exp(inf), exp(710), exp(-746), log(1), log(0), log(inf)]).toEqual([
    1,
    0,
    inf,
    inf,
    0,
    0,
    -inf,
    inf,
  ]);
  for (const value of [exp(Number.NaN), log(-1), log(Number.NaN), cos(inf), cos(Number.NaN), tanh(Number.NaN)])
    expect(value).toBeNaN();
  expect([tanh(inf), tanh(-inf), tanh(0), cos(0), sin(0)]).toEqual([1, -1, 0, 1, 0]);
  expect(exp(-745)).toBe(5e-324);
  expect(Math.abs(log(5e-324) + 744.4400719213812)).toBeLessThan(1e-12);
});

it('exp and log are inverse', () => {
  fc.assert(
    fc.property(
      fc.double({ min: -300, max: 300, noNaN: true }),
      (x) => Math.abs(log(exp(x)) - x) <= 4e-16 * (1 + Math.abs(x)),
    ),
    {
      seed: 1,
      numRuns: 500,
    },
  );
});

it('golden bits: the same on every engine', () => {
  // Written by this test's own code on Node 20.20; any other bits mean that an engine rounds + - * / differently.
  const bits = (x: number): string => {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, x);
    return view.getBigUint64(0).toString(16);
  };
  expect([exp(1), log(10), cos(1), sin(1), tanh(1), pow(0.9, 4), pow(0.999, 12345), pow(7, 0.3)].map(bits)).toEqual(
    GOLDEN,
  );
});
const GOLDEN = [
  '4005bf0a8b14576a',
  '40026bb1bbb55516',
  '3fe14a280fb5068c',
  '3feaed548f090cee',
  '3fe85efab514f394',
  '3fe4fec56d5cfaad',
  '3ed22391fb94567e',
  '3ffcaf448719fef8',
];
