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
      for (let i = 0; i < times; i++) m = measured(measured(m, 0, { shards: 8, ms: fast }), 1, { shards: 4, ms: slow });
      m = divide(m, 12);
    };
    both(100, 100, 3); // not often enough
    expect(m.ranges.map((r) => r.count)).toEqual([8, 4]);
    both(100, 110, 20); // a little slower
    expect(m.ranges.map((r) => r.count)).toEqual([8, 4]);
    both(400, 50, 100); // four times slower, and twice as fast
    expect(m.ranges.map((r) => r.count)).toEqual([2, 10]);
  });

  test('times of a few milliseconds say nothing of speed', () => {
    let m = divide(members([1, 1]), 8);
    for (let i = 0; i < 30; i++) m = divide(measured(measured(m, 0, { shards: 4, ms: 1 }), 1, { shards: 4, ms: 4 }), 8);
    expect(m.ranges.map((r) => r.count)).toEqual([4, 4]);
  });

  test('what a lost member leaves is divided among the others', () => {
    expect(divideAmong(members([1, 3]).members, { first: 4, count: 4 }, 8)).toEqual([
      { first: 4, count: 1 },
      { first: 5, count: 3 },
    ]);
  });
});

describe('what sums take', () => {
  const counts = (m: Membership) => m.ranges.map((r) => r.count);
  /** So many rounds, in which a shard takes 10 ms and a sum so long. */
  const rounds = (
    before: Membership,
    times: number,
    sumMs: number | undefined,
    shards = 16,
    shardMs = [10, 10, 10],
  ) => {
    let m = before;
    for (let i = 0; i < times; i++) {
      m = divide(m, shards);
      for (const [j, { id }] of m.members.entries()) m = measured(m, id, { shards: 1, ms: shardMs[j], sumMs });
    }
    return divide(m, shards);
  };

  test('a division into whole sums, as soon as it is known that they take longer than what it has to compute more', () => {
    const three = members([1, 1, 1]);
    expect(counts(rounds(three, 1, 100))).toEqual([6, 5, 5]);
    expect(counts(rounds(three, 12, 100))).toEqual([8, 4, 4]);
    expect(counts(rounds(three, 12, 1))).toEqual([6, 5, 5]);
    expect(counts(rounds(three, 12, undefined))).toEqual([6, 5, 5]); // they do not depend on it
  });

  test('a little better is not worth it; one connection that stood still is none that is slow', () => {
    const three = members([1, 1, 1]);
    // Of 6 + 5 + 5 there are seven, of 6 + 6 + 4 five, of 8 + 4 + 4 three: 88, 80 and 92 ms.
    expect(counts(rounds(three, 20, 4))).toEqual([6, 5, 5]);
    const known = rounds(three, 20, 1);
    const stalled = rounds(known, 1, 10_000);
    expect(counts(rounds(stalled, 1, 1))).toEqual([6, 5, 5]);
    // It stays where it is, until something else is much better.
    const aligned = rounds(three, 20, 100);
    expect(counts(rounds(aligned, 60, 7))).toEqual([8, 4, 4]);
    expect(counts(rounds(aligned, 90, 0.5))).toEqual([6, 6, 4]);
  });

  test('a slow member has fewer shards all the same', () =>
    expect(counts(rounds(members([1, 1, 1]), 30, 10, 16, [30, 10, 10]))).toEqual([2, 6, 8]));

  test('who comes is thought to be like the others at once; what a lost member has left goes to one where that is shorter', () => {
    const two = rounds(members([1, 1]), 12, 100);
    expect(counts(divide(join(two, { id: 2, workers: 1 }), 16))).toEqual([8, 4, 4]);
    const left = divideAmong(two.members, { first: 3, count: 5 }, 16);
    expect(left.map(({ count }) => count)).toEqual([1, 4]);
    expect(divideAmong(rounds(members([1, 1]), 12, 1000).members, { first: 4, count: 4 }, 16)).toEqual([
      { first: 4, count: 4 },
      { first: 8, count: 0 },
    ]);
  });
});
