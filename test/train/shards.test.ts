import { expect, test } from 'vitest';
import { batchFor, defaultShards } from '../../src/train/shards.ts';

const small = () => 0;
const budget = 64;

test('the largest power of two up to 16 that leaves 64 rows a shard', () => {
  const shards = [1, 63, 127, 128, 255, 256, 512, 1000, 1024, 2047, 100_000].map((b) =>
    defaultShards(b, 1, small, budget),
  );
  expect(shards).toEqual([1, 1, 1, 2, 2, 4, 8, 8, 16, 16, 16]);
});

test('positions that are multiplied at once count as rows', () => {
  expect(defaultShards(12, 64, small, budget)).toBe(8); // floor(12 / 8) x 64 = 64
  expect(defaultShards(64, 784, small, budget)).toBe(16);
});

test('doubles, past 16 too, until the activations of a shard fit', () => {
  const bytes = (rows: number) => rows;
  expect(defaultShards(4096, 1, bytes, 256)).toBe(16);
  expect(defaultShards(4096, 1, bytes, 100)).toBe(64);
  expect(defaultShards(4, 1, () => 1000, 1)).toBe(4); // one row does not fit either: no endless doubling
});

test('the batch that is proposed for more shards is the smallest that makes them', () => {
  const shardsOf = (batch: number, rowsPerSample: number) => defaultShards(batch, rowsPerSample, () => 0, 1);
  for (const rowsPerSample of [1, 3, 49, 64, 784]) {
    for (let shards = 1; shards <= 16; shards++) {
      const batch = batchFor(shards, rowsPerSample) ?? 0;
      expect(shardsOf(batch, rowsPerSample)).toBeGreaterThanOrEqual(shards);
      if (batch > 1 && shards > 1) expect(shardsOf(batch - 1, rowsPerSample)).toBeLessThan(shards);
    }
    expect(batchFor(17, rowsPerSample)).toBeUndefined();
  }
});
