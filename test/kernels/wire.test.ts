import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { referenceKernels } from '../../src/kernels/reference.ts';
import { INT4_GROUP, INT8_GROUP, TOPK_SCRATCH_BYTES } from '../../src/kernels/table.ts';
import { bothLevels } from './sides.ts';

const word = fc.oneof(
  { weight: 8, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true, min: -4, max: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1, -1, 0.5, 127, -127, 1e-38, 1e-45, 3e38, -3e38) },
);
const special = fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
const finite = fc.array(word, { maxLength: 600, size: 'max' }).map((values) => Float32Array.from(values));
/** Finite numbers, rarely with others among them. */
const floats = fc.tuple(finite, fc.array(fc.tuple(fc.nat(), special), { maxLength: 3 })).map(([values, others]) => {
  for (const [at, value] of others) if (values.length > 0) values[at % values.length] = value;
  return values;
});

const keepOf = (count: number) => Math.ceil(count / 100);

describe.each(await bothLevels())('$simd', (sides) => {
  const obvious = referenceKernels({ real: sides.f32, int: sides.i32, sums: sides.f64 });
  const bits = (p: number, words: number) => [...new Uint32Array(sides.memory.buffer, p, words)];
  const scratch = () => sides.room(TOPK_SCRATCH_BYTES / 4);

  it('every kernel has the bits of the obvious version', () => {
    fc.assert(
      fc.property(floats, fc.constantFrom(0, 1), fc.constantFrom(0, 4), (values, add, shift) => {
        sides.reset();
        const n = values.length;
        const k = keepOf(n);
        const outcome = (kernels: typeof obvious) => {
          const parts: number[][] = [];
          const start = () => [sides.floats(values, shift), sides.room(n + 8)];
          const base = () => sides.floats(values.map((v) => (Number.isFinite(v) ? 1 - v : 1)));
          let [x, out] = start();
          kernels.bf16Encode(out, x, n);
          parts.push(bits(out, n >> 1), bits(x, n));
          let back = sides.room(n);
          kernels.bf16Decode(back, out, n);
          parts.push(bits(back, n));

          [x, out] = start();
          kernels.int8Take(out, x, n);
          parts.push(bits(out, Math.ceil(n / INT8_GROUP) + (n >> 2)), bits(x, n));
          back = base();
          kernels.int8Put(back, out, n, add);
          parts.push(bits(back, n));

          [x, out] = start();
          kernels.int4Take(out, x, n);
          parts.push(bits(out, Math.ceil(n / INT4_GROUP) + (n >> 3)), bits(x, n));
          back = base();
          kernels.int4Put(back, out, n, add);
          parts.push(bits(back, n));

          [x, out] = start();
          kernels.topkTake(out, x, n, k, scratch());
          parts.push(bits(out, k + (k >> 1)), bits(x, n));
          back = base();
          parts.push([kernels.topkPut(back, out, n, k, add)], bits(back, n));
          return parts;
        };
        const got = outcome(sides.wasm);
        const want = outcome(obvious);
        expect(got.map((part) => part.map(canonical))).toEqual(want.map((part) => part.map(canonical)));
        sides.checkGuards();
      }),
      { numRuns: 300, examples: [[Float32Array.of(-0), 0, 0]] },
    );
  });

  it('what is taken and what remains are the whole: int8 and int4 to half a step of their scale, top-k exactly', () => {
    const { int8Take, int8Put, int4Take, int4Put } = sides.wasm;
    const integers = [[int8Take, int8Put, INT8_GROUP, 127], [int4Take, int4Put, INT4_GROUP, 7]] as const; // biome-ignore format: one line
    fc.assert(
      fc.property(finite, (values) => {
        sides.reset();
        const n = values.length;
        const [x, out, back] = [sides.floats(values), sides.room(n + 8), sides.room(n)];
        for (const [take, put, size, steps] of integers) {
          sides.setFloats(x, values);
          take(out, x, n);
          put(back, out, n, 0);
          const [rest, taken] = [sides.got(x, n), sides.got(back, n)];
          for (let from = 0; from < n; from += size) {
            const group = values.subarray(from, from + size);
            const most = Math.max(...group.map(Math.abs));
            // One expectation a group: one a number takes longer than all kernels.
            const off = (value: number, i: number) =>
              !(Math.abs(taken[from + i] + rest[from + i] - value) <= most * 2 ** -22 + 1e-44) ||
              !(Math.abs(rest[from + i]) <= most * (0.5 / steps + 1e-6) + 1e-28);
            expect([...group].filter(off), `of the group at ${from}`).toEqual([]);
          }
        }
        sides.setFloats(x, values);
        const k = keepOf(n);
        sides.wasm.topkTake(out, x, n, k, scratch());
        sides.wasm.topkPut(back, out, n, k, 0);
        const [kept, sent] = [sides.got(x, n), sides.got(back, n)];
        expect([...kept].map((value, i) => value + sent[i])).toEqual([...values].map((value) => value + 0));
        const least = Math.min(...[...sent].filter((value) => value !== 0).map(Math.abs));
        if (sent.some((value) => value !== 0)) expect(Math.max(...kept.map(Math.abs))).toBeLessThanOrEqual(least);
      }),
      { numRuns: 200 },
    );
  });

  it('bf16 halves a unit in the last place of 8 bits at most, and knows the special values', () => {
    sides.reset();
    const values = [0, -0, 1, 1.00390625, 1.01171875, 3.4e38, -3.4e38, 1e-45, Number.POSITIVE_INFINITY, Number.NaN];
    const n = values.length;
    const [x, out, back] = [sides.floats(values), sides.room(n), sides.room(n)];
    sides.wasm.bf16Encode(out, x, n);
    sides.wasm.bf16Decode(back, out, n);
    // Ties go to even; what is above the largest bf16 is infinite; what is far below the least is zero.
    expect([...sides.got(back, n)]).toEqual([
      0, -0, 1, 1, 1.015625, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, Number.POSITIVE_INFINITY, Number.NaN,
    ]); // biome-ignore format: value by value
    sides.setFloats(
      x,
      Array.from({ length: n }, (_, i) => Math.sin(i + 1)),
    );
    sides.wasm.bf16Encode(out, x, n);
    sides.wasm.bf16Decode(back, out, n);
    sides.got(back, n).forEach((value, i) => {
      expect(Math.abs(value - Math.sin(i + 1))).toBeLessThanOrEqual(Math.abs(Math.sin(i + 1)) * 2 ** -8);
    });
  });

  it('error feedback loses nothing: what was sent adds up to what was given', () => {
    for (const format of ['int8', 'int4', 'topk'] as const) {
      sides.reset();
      const n = 1000;
      const given = Array.from({ length: n }, (_, i) => Math.sin(i) ** 3);
      const [residual, out, sum, source] = [
        sides.floats(new Float32Array(n)),
        sides.room(n + 8),
        sides.floats(new Float32Array(n)),
        sides.floats(given),
      ];
      const at = scratch();
      const steps = 200;
      for (let t = 0; t < steps; t++) {
        sides.wasm.addPartials(residual, residual, source, n);
        if (format === 'int8') {
          sides.wasm.int8Take(out, residual, n);
          sides.wasm.int8Put(sum, out, n, 1);
        } else if (format === 'int4') {
          sides.wasm.int4Take(out, residual, n);
          sides.wasm.int4Put(sum, out, n, 1);
        } else {
          sides.wasm.topkTake(out, residual, n, keepOf(n), at);
          sides.wasm.topkPut(sum, out, n, keepOf(n), 1);
        }
      }
      const [sent, left] = [sides.got(sum, n), sides.got(residual, n)];
      given.forEach((value, i) => {
        expect(Math.abs(sent[i] + left[i] - steps * value), format).toBeLessThan(1e-3);
      });
    }
  });

  it('top-k refuses places that the block does not have, before it writes', () => {
    sides.reset();
    const [x, bytes] = [sides.floats([1, 2, 3, 4]), sides.room(4)];
    const entries = (a: number, b: number) => {
      sides.f32.set([5, 6], bytes >> 2);
      new Uint16Array(sides.memory.buffer, bytes + 8, 2).set([a, b]);
      return sides.wasm.topkPut(x, bytes, 4, 2, 1);
    };
    for (const [a, b] of [[0, 4], [2, 2], [3, 1], [65535, 0]]) expect(entries(a, b)).toBe(0); // biome-ignore format: pairs
    expect([...sides.got(x, 4)]).toEqual([1, 2, 3, 4]);
    expect(entries(0, 3)).toBe(1);
    expect([...sides.got(x, 4)]).toEqual([6, 2, 3, 10]);
  });
});

/** NaNs are one value: which bits they have is not said. */
const canonical = (word: number) => ((word & 0x7fffffff) >>> 0 > 0x7f800000 ? 0x7fc00000 : word);
