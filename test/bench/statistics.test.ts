import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { median, orderOfRound, quantile, summarize } from '../../scripts/bench/statistics.ts';

const numbers = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 50 });

describe('quantile', () => {
  test('of known lists', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(quantile([0, 10], 0.9)).toBe(9);
    expect(median([])).toBeNaN();
  });

  test('as many values lie below the median as above it', () => {
    fc.assert(
      fc.property(numbers, (values) => {
        const m = median(values);
        const half = values.length / 2;
        expect(values.filter((v) => v < m).length).toBeLessThanOrEqual(half);
        expect(values.filter((v) => v > m).length).toBeLessThanOrEqual(half);
      }),
    );
  });
});

test('a summary keeps rounds apart: one disturbed round moves the spread, not the step', () => {
  const calm = { stepsMs: [1, 1, 1, 1] };
  const summary = summarize([calm, { stepsMs: [9, 9] }, calm]);
  expect(summary.stepMs).toBe(1);
  expect(summary.spread).toEqual([1, 9]);
  expect(summary.meanMs).toBeCloseTo(26 / 10, 12);
  expect(summary.roundsMs).toEqual([1, 9, 1]);
  expect(summary.seconds).toBeCloseTo(0.026, 12);
});

test('rounds alternate: in two of them everybody follows each neighbour once', () => {
  const who = ['a', 'b', 'c'];
  expect(orderOfRound(who, 0)).toEqual(['a', 'b', 'c']);
  expect(orderOfRound(who, 1)).toEqual(['c', 'b', 'a']);
  expect(who).toEqual(['a', 'b', 'c']);
});
