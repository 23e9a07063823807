import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ShardRange } from '../../src/membership/assignment.ts';
import { type MemberCosts, type Question, shortestDivision, stepMs } from '../../src/membership/division.ts';
import { splitPoint, sumsIn } from '../../src/membership/tree-sums.ts';
import { planPartials, planRoots } from '../../src/parallel/gradient-tree.ts';

/** Every contiguous division, in the order of the members. */
function* divisions(first: number, count: number, members: number): Generator<ShardRange[]> {
  if (members === 1) yield [{ first, count }];
  else
    for (let n = 0; n <= count; n++)
      for (const rest of divisions(first + n, count - n, members - 1)) yield [{ first, count: n }, ...rest];
}

/** The sums that the workers of a node really end in. */
const sumsOf = (shards: number, range: ShardRange): number =>
  range.count === 0 ? 0 : planRoots(planPartials(range, shards, range.count, () => false, true).partials, shards, range, () => false).length; // biome-ignore format: one line

test('the tree splits at the largest power of two below n', () =>
  expect([2, 3, 4, 5, 8, 9, 12, 16].map(splitPoint)).toEqual([1, 2, 2, 4, 4, 8, 8, 8]));

test('the sums in which a run of shards ends are those of the plan of the step', () => {
  for (const shards of [1, 2, 3, 5, 8, 12, 16, 21]) {
    for (let first = 0; first < shards; first++) {
      for (let count = 0; first + count <= shards; count++)
        expect(sumsIn(shards, first, first + count)).toBe(sumsOf(shards, { first, count }));
    }
  }
});

const costs = fc.record({
  workers: fc.integer({ min: 1, max: 3 }),
  shardMs: fc.integer({ min: 1, max: 9 }),
  sumMs: fc.integer({ min: 0, max: 12 }),
});

/** The time of a step, once more: the slowest, and all sums. */
const timeOf = (shards: number, members: readonly MemberCosts[], ranges: readonly ShardRange[]): number =>
  Math.max(...ranges.map(({ count }, i) => Math.ceil(count / members[i].workers) * members[i].shardMs)) +
  ranges.reduce((sum, range, i) => sum + members[i].sumMs * sumsOf(shards, range), 0);

describe('the shortest division', () => {
  test('no other is shorter by more than a hundredth; it covers the range in order', () => {
    const sizes = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.nat(11), fc.nat(4));
    fc.assert(
      fc.property(sizes, fc.array(costs, { minLength: 1, maxLength: 4 }), ([shards, from, busy], members) => {
        const first = from % shards; // what a lost node has left is any run
        const range = { first, count: shards - first };
        const least = members.map((_, i) => (i < Math.min(busy, range.count) ? 1 : 0));
        const question: Question = { shards, range, members, least };
        const found = shortestDivision(question) ?? [];
        let next = first;
        found.forEach(({ first: at, count }, i) => {
          expect(at).toBe(next);
          expect(count).toBeGreaterThanOrEqual(least[i]);
          next += count;
        });
        expect(next).toBe(shards);
        const ms = timeOf(shards, members, found);
        expect(stepMs(question, found)).toBeCloseTo(ms, 9);
        for (const other of divisions(first, range.count, members.length)) {
          if (other.every(({ count }, i) => count >= least[i]))
            expect(ms * 0.99).toBeLessThanOrEqual(timeOf(shards, members, other) + 1e-9);
        }
        expect(shortestDivision(question)).toEqual(found);
      }),
      { numRuns: 300 },
    );
  });

  const sizes = (shards: number, members: readonly MemberCosts[]) =>
    shortestDivision({
      shards,
      range: { first: 0, count: shards },
      members,
      least: members.map((_, i) => (i < shards ? 1 : 0)),
    })?.map(({ count }) => count);
  const equal = (n: number, sumMs: number): MemberCosts[] => Array.from({ length: n }, () => ({ workers: 1, shardMs: 10, sumMs })); // biome-ignore format: one line

  test('sums that cost nothing: sizes differ by at most one, the earlier members have more', () => {
    for (const [shards, n] of [[16, 3], [16, 5], [8, 3], [64, 5], [3, 5], [7, 7]]) // biome-ignore format: a table
      expect(sizes(shards, equal(n, 0))).toEqual(Array.from({ length: n }, (_, i) => Math.floor(shards / n) + (i < shards % n ? 1 : 0))); // biome-ignore format: one line
  });

  test('sums that take long: one a member, and everybody has something to do', () => {
    expect(sizes(16, equal(3, 100))).toEqual([8, 4, 4]);
    expect(sizes(64, equal(5, 100))).toEqual([16, 16, 16, 8, 8]);
    expect(sizes(8, equal(3, 100))).toEqual([4, 2, 2]);
  });

  test('a member that computes twice as fast has the large part, where that is one sum in the order of the members', () => {
    const [a, b, c] = equal(3, 100);
    expect(sizes(16, [a, b, { ...c, shardMs: 5 }])).toEqual([4, 4, 8]);
    expect(sizes(16, [a, { ...b, shardMs: 5 }, c])).toEqual([8, 4, 4]); // 4 to 11 are two
  });

  test('between 64 members of all speeds 256 shards are divided without trying everything', () => {
    const members = Array.from({ length: 64 }, (_, i) => ({ workers: 1 + (i % 2), shardMs: 10 + ((i * 7) % 13) / 10, sumMs: 1 + ((i * 5) % 11) / 10 })); // biome-ignore format: one line
    const found = sizes(256, members) ?? [];
    expect(found.reduce((sum, count) => sum + count)).toBe(256);
    expect(Math.min(...found)).toBe(2);
  });

  test('too many to look: nothing', () => expect(sizes(8192, equal(1000, 1))).toBeUndefined());
});
