import { describe, expect, it } from 'vitest';
import { ACTIVATION_CODES, BINARY, UNARY, UNARY_GRAD } from '../../src/kernels/table.ts';
import { bothLevels, deviation, numbers, SIZES } from './sides.ts';

const levels = await bothLevels();

/** Arguments at which each kernel is defined and smooth enough to compare relative to its value. */
const DOMAIN: Partial<Record<string, readonly [number, number]>> = {
  log: [1e-3, 50],
  sqrt: [0, 50],
  powScalar: [0.01, 8],
  exp: [-20, 20],
};
const ALPHA: Partial<Record<string, number>> = { powScalar: 2.5, scale: -3, addScalar: 0.75 };
/** Absolute error of one ulp of the terms that cancel; everything else is compared relative to its value. */
const ABSOLUTE = 1.2e-7;
const RELATIVE = 6e-7;
/** gelu is x (1 + erf) / 2: on the left x times an ulp of 1. */
const absoluteOf = (name: string): number => (name === 'gelu' ? 6 * ABSOLUTE : ABSOLUTE);

const alphaOf = (name: string): number => Math.fround(ALPHA[name] ?? 0.1);

describe.each(levels)('$simd', (sides) => {
  it.each(UNARY)('%s equals the reference at every length', (name) => {
    for (const n of SIZES) {
      sides.reset();
      const x = sides.floats(numbers(n, n, ...(DOMAIN[name] ?? [-8, 8])));
      const out = sides.room(n);
      sides.run(name, out, x, n, alphaOf(name));
      expect(deviation(sides.got(out, n), sides.want(out, n), RELATIVE, absoluteOf(name))).toBeLessThanOrEqual(1);
      sides.checkGuards();
    }
  });

  it.each([-2, -1, -0.5, 0, 0.5, 1, 2, 3])('powScalar with exponent %d', (exponent) => {
    sides.reset();
    const x = sides.floats(numbers(7, 33, 0.01, 20));
    const out = sides.room(33);
    sides.run('powScalar', out, x, 33, exponent);
    expect(deviation(sides.got(out, 33), sides.want(out, 33), 1.2e-7)).toBeLessThanOrEqual(1);
  });

  it.each(UNARY_GRAD)('%s equals the reference at every length', (name) => {
    for (const n of SIZES) {
      sides.reset();
      const saved = sides.floats(numbers(n, n, ...(name === 'sigmoidGrad' ? [0, 1] : [-5, 5])));
      const dy = sides.floats(numbers(n + 1000, n));
      const out = sides.room(n);
      sides.run(name, out, saved, dy, n, alphaOf(name));
      expect(deviation(sides.got(out, n), sides.want(out, n), RELATIVE, 3 * ABSOLUTE)).toBeLessThanOrEqual(1);
      sides.checkGuards();
    }
  });

  it.each(BINARY)('%s equals the reference at every length, vector with vector', (name) => {
    for (const n of SIZES) {
      sides.reset();
      const a = sides.floats(numbers(n, n, name === 'pow' ? 0.1 : -3, 3).map((v, i) => (i % 5 === 0 ? 1 : v)));
      const b = sides.floats(numbers(n + 1, n, -3, 3).map((v, i) => (i % 5 === 0 ? 1 : v)));
      const out = sides.room(n);
      sides.run(name, out, a, b, 1, n, 0, 1, 0, 1);
      expect(deviation(sides.got(out, n), sides.want(out, n), RELATIVE, 1e-37)).toBeLessThanOrEqual(1);
      sides.checkGuards();
    }
  });

  const grids = [
    [3, 5],
    [5, 1],
    [1, 7],
    [4, 16],
    [2, 33],
    [7, 4],
    [1, 1],
    [0, 4],
  ];
  it.each(['add', 'sub', 'div', 'maximum', 'less', 'pow'] as const)(
    '%s broadcasts rows, columns and scalars',
    (name) => {
      for (const [outer, inner] of grids) {
        const strides = [
          [inner, 1, inner, 1], // same shape
          [inner, 1, 0, 1], // bias row
          [0, 1, inner, 1],
          [inner, 1, 1, 0], // column
          [1, 0, inner, 1],
          [inner, 1, 0, 0], // scalar
          [0, 0, inner, 1],
          [1, 0, 0, 1], // outer product
          [0, 0, 0, 0],
          [inner + 3, 1, inner, 1], // rows of a wider matrix
        ];
        for (const [aOuter, aInner, bOuter, bInner] of strides) {
          sides.reset();
          const size = outer * (inner + 3) + 1;
          const a = sides.floats(numbers(1, size, 0.5, 3));
          const b = sides.floats(numbers(2, size, 0.5, 3));
          const out = sides.room(outer * inner);
          sides.run(name, out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
          const [got, want] = [sides.got(out, outer * inner), sides.want(out, outer * inner)];
          expect(
            deviation(got, want, RELATIVE),
            `${outer}x${inner} ${[aOuter, aInner, bOuter, bInner]}`,
          ).toBeLessThanOrEqual(1);
          sides.checkGuards();
        }
      }
    },
  );

  it.each(Object.entries(ACTIVATION_CODES))('biasActivation fuses %s', (name, code) => {
    for (const [rows, columns] of [
      [1, 1],
      [3, 2],
      [4, 10],
      [2, 33],
      [5, 4],
      [0, 3],
    ]) {
      for (const biased of [true, false]) {
        sides.reset();
        const z = sides.floats(numbers(rows, rows * columns, -5, 5));
        const bias = biased ? sides.floats(numbers(columns, columns)) : 0;
        const out = sides.room(rows * columns);
        sides.run('biasActivation', out, z, bias, rows, columns, code, alphaOf('elu'));
        const [got, want] = [sides.got(out, rows * columns), sides.want(out, rows * columns)];
        expect(deviation(got, want, RELATIVE, Math.max(3 * ABSOLUTE, absoluteOf(name)))).toBeLessThanOrEqual(1);
        sides.checkGuards();
      }
    }
  });

  it('where and clamp equal the reference', () => {
    for (const n of SIZES) {
      sides.reset();
      const condition = sides.floats(numbers(n, n).map((v, i) => (i % 3 === 0 ? 0 : v)));
      const a = sides.floats(numbers(n + 1, n));
      const b = sides.floats(numbers(n + 2, n));
      const [chosen, clamped] = [sides.room(n), sides.room(n)];
      sides.run('where', chosen, condition, a, b, n);
      sides.run('clamp', clamped, a, n, -0.25, 0.5);
      expect([...sides.got(chosen, n)]).toEqual([...sides.want(chosen, n)]);
      expect([...sides.got(clamped, n)]).toEqual([...sides.want(clamped, n)]);
      sides.checkGuards();
    }
  });

  it.each([...UNARY, ...UNARY_GRAD])(
    '%s gives an element the same bits at any position, length and alignment',
    (name) => {
      const n = 37;
      const values = numbers(11, n, ...(DOMAIN[name] ?? [-8, 8]));
      const run = (part: readonly number[], shift: number): Uint32Array => {
        sides.reset();
        const x = sides.floats(part, shift);
        const dy = sides.floats(part, shift);
        const out = sides.room(part.length, shift);
        if (isGrad(name)) sides.wasm[name](out, x, dy, part.length, alphaOf(name));
        else sides.wasm[name](out, x, part.length, alphaOf(name));
        return bitsOf(sides.got(out, part.length));
      };
      const all = run(values, 0);
      for (const [from, to, shift] of [
        [0, n, 4],
        [0, n, 8],
        [0, n, 12],
        [1, n, 0],
        [2, 5, 0],
        [3, 35, 4],
        [36, 37, 0],
      ]) {
        expect(run(values.slice(from, to), shift), `${from}..${to} at ${shift}`).toEqual(all.slice(from, to));
      }
    },
  );

  it.each([...UNARY, ...UNARY_GRAD])('%s works in place', (name) => {
    const values = numbers(5, 29, ...(DOMAIN[name] ?? [-8, 8]));
    sides.reset();
    const x = sides.floats(values);
    const dy = sides.floats(numbers(6, 29));
    const out = sides.room(29);
    const call = (to: number): void => {
      if (isGrad(name)) sides.wasm[name](to, x, dy, 29, alphaOf(name));
      else sides.wasm[name](to, x, 29, alphaOf(name));
    };
    call(out);
    const apart = bitsOf(sides.got(out, 29));
    if (isGrad(name)) {
      call(dy);
      expect(bitsOf(sides.got(dy, 29))).toEqual(apart);
    }
    sides.setFloats(dy, numbers(6, 29));
    call(x);
    expect(bitsOf(sides.got(x, 29))).toEqual(apart);
  });
});

type GradName = (typeof UNARY_GRAD)[number];
function isGrad(name: string): name is GradName {
  return (UNARY_GRAD as readonly string[]).includes(name);
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

describe.each(levels)('special values, $simd', (sides) => {
  const inf = Number.POSITIVE_INFINITY;
  const tiny = 1e-45; // the smallest subnormal
  const table: readonly (readonly [(typeof UNARY)[number], number, readonly (readonly [number, number])[]])[] = [
    ['exp', 0, [[0, 1], [-0, 1], [inf, inf], [-inf, 0], [Number.NaN, Number.NaN], [89, inf], [-104, 0], [88.72283, 3.4027977e38], [-103, 1e-45]]],
    ['log', 0, [[0, -inf], [-0, -inf], [1, 0], [inf, inf], [-1, Number.NaN], [-inf, Number.NaN], [Number.NaN, Number.NaN], [tiny, -103.278929903]]],
    ['tanh', 0, [[0, 0], [inf, 1], [-inf, -1], [20, 1], [-20, -1], [Number.NaN, Number.NaN], [1e-30, 1e-30]]],
    ['sigmoid', 0, [[0, 0.5], [inf, 1], [-inf, 0], [100, 1], [-87, 1.6458115e-38], [-88, 0], [-200, 0], [Number.NaN, Number.NaN]]],
    ['erf', 0, [[0, 0], [inf, 1], [-inf, -1], [10, 1], [Number.NaN, Number.NaN], [1e-30, 1.1283791671e-30]]],
    ['gelu', 0, [[0, 0], [100, 100], [-100, 0], [1e30, 1e30], [-1e30, 0], [inf, inf], [Number.NaN, Number.NaN]]],
    ['geluTanh', 0, [[0, 0], [100, 100], [-100, 0], [1e30, 1e30], [-1e30, 0], [inf, inf], [Number.NaN, Number.NaN]]],
    ['silu', 0, [[0, 0], [200, 200], [-200, 0], [inf, inf], [Number.NaN, Number.NaN]]],
    ['softplus', 0, [[200, 200], [-200, 0], [inf, inf], [-inf, 0], [-50, 1.9287498e-22], [Number.NaN, Number.NaN]]],
    ['relu', 0, [[-1, 0], [0, 0], [inf, inf], [-inf, 0], [Number.NaN, Number.NaN]]],
    ['leakyRelu', 0.5, [[-2, -1], [3, 3], [-inf, -inf], [Number.NaN, Number.NaN]]],
    ['elu', 2, [[-inf, -2], [-200, -2], [inf, inf], [-1e-6, -1.999999e-6], [Number.NaN, Number.NaN]]],
    ['sin', 0, [[0, 0], [inf, Number.NaN], [-inf, Number.NaN], [Number.NaN, Number.NaN]]],
    ['cos', 0, [[0, 1], [inf, Number.NaN], [Number.NaN, Number.NaN]]],
    ['sign', 0, [[0, 0], [-0, 0], [5, 1], [-inf, -1], [tiny, 1], [Number.NaN, Number.NaN]]],
    ['sqrt', 0, [[0, 0], [-1, Number.NaN], [inf, inf]]],
    ['reciprocal', 0, [[0, inf], [-0, -inf], [inf, 0]]],
  ]; // biome-ignore format: a table

  it.each(table)('%s', (name, alpha, pairs) => {
    sides.reset();
    const n = pairs.length;
    const x = sides.floats(pairs.map(([argument]) => argument));
    const out = sides.room(n);
    sides.wasm[name](out, x, n, alpha);
    for (const [i, [argument, value]] of pairs.entries()) {
      const got = sides.got(out, n)[i];
      if (Number.isNaN(value)) expect(got, `${name}(${argument})`).toBeNaN();
      else if (!Number.isFinite(value)) expect(got, `${name}(${argument})`).toBe(value);
      else
        expect(Math.abs(got - value), `${name}(${argument}) = ${got}`).toBeLessThanOrEqual(
          Math.abs(value) * 3e-7 + 1.5e-45,
        );
    }
  });

  it('gradients of activations stay finite for large arguments', () => {
    const large = [50, -50, 1e4, -1e4, 1e20, -1e20, 3e38, -3e38];
    const limits = large.map((x) => (x > 0 ? 1 : 0));
    for (const name of ['geluGrad', 'geluTanhGrad', 'siluGrad', 'softplusGrad'] as const) {
      sides.reset();
      const x = sides.floats(large);
      const dy = sides.floats(large.map(() => 1));
      const out = sides.room(large.length);
      sides.wasm[name](out, x, dy, large.length, 0);
      expect(deviation(sides.got(out, large.length), limits, 0, 1e-6), name).toBeLessThanOrEqual(1);
    }
  });

  it('minimum and maximum give NaN if either is NaN', () => {
    sides.reset();
    const a = sides.floats([Number.NaN, 1, 2, 3, Number.NaN]);
    const b = sides.floats([1, Number.NaN, 5, -5, Number.NaN]);
    const out = sides.room(5);
    sides.wasm.minimum(out, a, b, 1, 5, 0, 1, 0, 1);
    expect([...sides.got(out, 5)]).toEqual([Number.NaN, Number.NaN, 2, -5, Number.NaN]);
    sides.wasm.maximum(out, a, b, 1, 5, 0, 1, 0, 1);
    expect([...sides.got(out, 5)]).toEqual([Number.NaN, Number.NaN, 5, 3, Number.NaN]);
  });

  it('comparisons with NaN are false, but notEqual is true', () => {
    sides.reset();
    const a = sides.floats([Number.NaN, 1, Number.NaN]);
    const b = sides.floats([1, Number.NaN, Number.NaN]);
    const out = sides.room(3);
    for (const name of ['equal', 'less', 'lessEqual', 'greater', 'greaterEqual'] as const) {
      sides.wasm[name](out, a, b, 1, 3, 0, 1, 0, 1);
      expect([...sides.got(out, 3)], name).toEqual([0, 0, 0]);
    }
    sides.wasm.notEqual(out, a, b, 1, 3, 0, 1, 0, 1);
    expect([...sides.got(out, 3)]).toEqual([1, 1, 1]);
  });

  it("pow has the special values of C's pow", () => {
    const nan = Number.NaN;
    const cases = [
      [2, 3, 8], [-2, 3, -8], [-2, 2, 4], [-8, 1 / 3, nan], [0, 2, 0], [0, -1, inf], [-0, -1, -inf], [-0, -2, inf], [0, 0, 1],
      [nan, 0, 1], [1, nan, 1], [nan, 1, nan], [1, inf, 1], [-1, inf, 1], [2, inf, inf], [0.5, inf, 0], [2, -inf, 0],
      [0.5, -inf, inf], [inf, 2, inf], [inf, -2, 0], [-inf, 3, -inf], [-inf, 2, inf], [-inf, -3, 0], [2, 128, inf], [2, -150, 0],
      [2, -149, 1.4e-45], [2, 127, 1.7014118e38], [10, 0.5, 3.16227766], [-1, nan, nan], [-2, inf, inf], [1e-45, 0.5, 3.743392e-23],
    ]; // biome-ignore format: a table
    sides.reset();
    const a = sides.floats(cases.map(([x]) => x));
    const b = sides.floats(cases.map(([, y]) => y));
    const out = sides.room(cases.length);
    sides.wasm.pow(out, a, b, 1, cases.length, 0, 1, 0, 1);
    const got = sides.got(out, cases.length);
    for (const [i, [x, y, z]] of cases.entries()) {
      if (Number.isNaN(z) || !Number.isFinite(z)) expect(got[i], `${x}^${y}`).toEqual(z);
      else expect(Math.abs(got[i] - z), `${x}^${y} = ${got[i]}`).toBeLessThanOrEqual(2e-7 * Math.abs(z) + 1e-45);
    }
  });
});
