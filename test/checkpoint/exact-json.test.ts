import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromExactJson, toExactJson } from '../../src/checkpoint/exact-json.ts';

const bits = (value: number) => new BigUint64Array(new Float64Array([value]).buffer)[0];

describe('exact JSON', () => {
  it('keeps the bits of every number', () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.constantFrom(-0, Number.NaN, Number.MIN_VALUE, -1 / 0)), (value) => {
        const back = fromExactJson(toExactJson({ a: [value] })) as { a: number[] };
        expect(bits(back.a[0])).toBe(bits(value));
      }),
      { numRuns: 1000 },
    );
  });

  it('keeps everything that JSON keeps', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(fromExactJson(toExactJson(value))).toEqual(value);
      }),
    );
  });

  it('leaves other objects alone', () => {
    for (const value of [{ $number: 'one' }, { $number: 1 }, { $number: 'NaN', more: 1 }, { $number: 'constructor' }]) {
      expect(fromExactJson(JSON.stringify(value))).toEqual(value);
    }
  });
});
