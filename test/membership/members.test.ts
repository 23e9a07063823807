import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assignBySpeed, assignShards } from '../../src/membership/assignment.ts';
import { divide, divideAmong, join, leave, type Membership, measured, NOBODY } from '../../src/membership/members.ts';

const members = (workers: readonly number[]): Membership =>
  workers.reduce((m, n, id) => join(m, { id, workers: n }), NOBODY);

/** The slowest's time for these sizes. */
const time = (sizes: readonly number[], speeds: readonly number[]) => Math.max(...sizes.map((n, i) => n / speeds[i]));

/** Every way to divide `count` among `n`. */
function* divisions(count: number, n: number): Generator<number[]> {
  if (n === 1) yield [count];
  else
    for (let first = 0; first <= count; first++)
      for (const rest of divisions(count - first, n - 1)) yield [first, ...rest];
}

describe('assignBySpeed', () => {
  test('no division into whole shards is done earlier; runs cover the range in order', () => {
    fc.assert(
      fc.property(fc.nat(5), fc.integer({ min: 1, max: 9 }), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
        (first, count, speeds) => {
          const ranges = assignBySpeed({ first, count }, speeds);
          let next = first;
          for (const range of ranges) {
            expect(range.first).toBe(next);
            next += range.count;
          }
          expect(next).toBe(first + count);
          const best = Math.min(...[...divisions(count, speeds.length)].map((sizes) => time(sizes, speeds)));
          expect(time(ranges.map((r) => r.count), speeds)).toBeCloseTo(best, 12);
        },
      ),
    ); // biome-ignore format: one property
  });

  test('equal speeds: sizes differ by at most one, as without speeds', () => {
    for (const [shards, n] of [[16, 3], [4, 4], [3, 5]]) {
      const sizes = (ranges: readonly { count: number }[]) => ranges.map((r) => r.count).sort();
      expect(sizes(assignBySpeed({ first: 0, count: shards }, Array(n).fill(7)))).toEqual(sizes(assignShards(shards, n)));
    } // biome-ignore format: a table
  });
});

describe('membership', () => {
  test('every join and every loss has an epoch of its own; who is no member changes nothing', () => {
    const two = members([1, 1]);
    expect(two.epoch).toBe(2);
    expect(leave(two, 9)).toBe(two);
    expect(leave(two, 0)).toEqual({ epoch: 3, members: [two.members[1]], ranges: [] });
  });

  test('threads say how many shards, until speeds are known; then those, when it is worth it', () => {
    let m = divide(members([4, 2]), 12);
    expect(m.ranges.map((r) => r.count)).toEqual([8, 4]);
    const both = (fast: number, slow: number, times: number) => {
      for (let i = 0; i < times; i++) m = measured(measured(m, 0, 8, fast), 1, 4, slow);
      m = divide(m, 12);
    };
    both(100, 100, 3); // not often enough
    expect(m.ranges.map((r) => r.count)).toEqual([8, 4]);
    both(100, 110, 20); // a little slower
    expect(m.ranges.map((r) => r.count)).toEqual([8, 4]);
    both(400, 50, 100); // four times slower, and twice as fast
    expect(m.ranges.map((r) => r.count)).toEqual([2, 10]);
  });

  test('times of a few milliseconds say nothing', () => {
    const before = members([1, 1]);
    expect(measured(before, 0, 3, 2)).toBe(before);
  });

  test('what a lost member leaves is divided among the others', () => {
    expect(divideAmong(members([1, 3]).members, { first: 4, count: 4 })).toEqual([
      { first: 4, count: 1 },
      { first: 5, count: 3 },
    ]);
  });
});
