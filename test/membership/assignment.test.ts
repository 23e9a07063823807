import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assignShards } from '../../src/membership/assignment.ts';

test('every shard has exactly one rank, runs are contiguous and differ by at most one shard', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 60 }), (shards, worldSize) => {
      const ranges = assignShards(shards, worldSize);
      expect(ranges).toHaveLength(worldSize);
      expect(ranges.flatMap((r) => Array.from({ length: r.count }, (_, i) => r.first + i))).toEqual(
        Array.from({ length: shards }, (_, i) => i),
      );
      const counts = ranges.map((r) => r.count);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }),
  );
});
