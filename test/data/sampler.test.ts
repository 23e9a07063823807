import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPermutation, permute } from '../../src/data/permutation.ts';
import { createSampler, shardRange } from '../../src/data/sampler.ts';
import { failure } from './folder.ts';

const ascending = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const epochOrder = (size: number, seed: number, epoch: number): number[] =>
  ascending(size).map((i) => permute(i, size, seed, epoch));

/** Upper bound of a chi-square sum with `df` degrees of freedom at 4 standard deviations (Wilson and Hilferty 1931). */
const chiSquareBound = (df: number): number => df * (1 - 2 / (9 * df) + 4 * Math.sqrt(2 / (9 * df))) ** 3;
const chiSquare = (counts: Iterable<number>, expected: number): number => {
  let sum = 0;
  for (const c of counts) sum += (c - expected) ** 2 / expected;
  return sum;
};

describe('permute', () => {
  it('is a bijection on [0, size) for every size, seed and epoch', () => {
    for (let size = 1; size <= 70; size++) {
      expect(epochOrder(size, 3, 1).sort((a, b) => a - b)).toEqual(ascending(size));
    }
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.maxSafeInteger(), fc.nat(), (size, seed, epoch) => {
        const permutation = createPermutation(size, seed, 'shuffle', epoch);
        const seen = new Uint8Array(size);
        for (let i = 0; i < size; i++) seen[permutation.at(i)] += 1;
        expect(seen.every((c) => c === 1)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('stays within range at the largest size', () => {
    const size = 2 ** 31 - 1;
    const permutation = createPermutation(size, 1, 'shuffle', 0);
    const ids = ascending(1000).map((i) => permutation.at(size - 1 - i));
    expect(new Set(ids).size).toBe(1000);
    expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < size)).toBe(true);
    expect(Math.max(...ids)).toBeGreaterThan(size / 2);
  });

  it('depends on epoch, seed (all 53 bits) and purpose', () => {
    const base = epochOrder(100, 1, 0);
    expect(epochOrder(100, 1, 0)).toEqual(base);
    expect(epochOrder(100, 1, 1)).not.toEqual(base);
    expect(epochOrder(100, 2, 0)).not.toEqual(base);
    expect(epochOrder(100, 1 + 2 ** 32, 0)).not.toEqual(base);
    const split = createPermutation(100, 1, 'split', 0);
    expect(ascending(100).map((i) => split.at(i))).not.toEqual(base);
  });

  it.each([4, 5])('makes all permutations of %i rows equally often', (size) => {
    const factorial = size === 4 ? 24 : 120;
    const runs = factorial * 200;
    const counts = new Map<string, number>();
    for (let seed = 0; seed < runs; seed++) {
      const key = epochOrder(size, seed, 0).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(factorial);
    expect(chiSquare(counts.values(), runs / factorial)).toBeLessThan(chiSquareBound(factorial - 1));
  });

  it.each([
    [48, 2500],
    [1500, 100],
    [6000, 25],
  ])('spreads %i rows evenly over positions, neighbours and epochs', (size, seeds) => {
    const buckets = 12;
    const bucket = (i: number): number => Math.floor((i * buckets) / size);
    const position = new Float64Array(buckets ** 2);
    const neighbour = new Float64Array(buckets ** 2);
    const epochs = new Float64Array(buckets ** 2);
    for (let seed = 0; seed < seeds; seed++) {
      const a = createPermutation(size, seed, 'shuffle', 0);
      const b = createPermutation(size, seed, 'shuffle', 1);
      for (let i = 0; i < size; i++) {
        const at = bucket(a.at(i));
        position[bucket(i) * buckets + at] += 1;
        neighbour[at * buckets + bucket(a.at((i + (size >> 1)) % size))] += 1;
        epochs[at * buckets + bucket(b.at(i))] += 1;
      }
    }
    const expected = (size * seeds) / buckets ** 2;
    expect(chiSquare(position, expected)).toBeLessThan(chiSquareBound(buckets ** 2 - 1));
    expect(chiSquare(epochs, expected)).toBeLessThan(chiSquareBound(buckets ** 2 - 1));
    // Two positions of one permutation never hold the same row: the diagonal is short of pairs by 1 in size.
    if (size > 1000) expect(chiSquare(neighbour, expected)).toBeLessThan(chiSquareBound(buckets ** 2 - 1));
  });
});

describe('shardRange', () => {
  it('cuts a batch into consecutive shards of floor or ceil rows', () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 64 }), (batch, shards) => {
        let end = 0;
        for (let s = 0; s < shards; s++) {
          const [begin, next] = shardRange(batch, shards, s);
          expect(begin).toBe(end);
          expect([Math.floor(batch / shards), Math.ceil(batch / shards)]).toContain(next - begin);
          end = next;
        }
        expect(end).toBe(batch);
      }),
    );
  });
});

describe('createSampler', () => {
  const collect = (options: Parameters<typeof createSampler>[0], shards: number, epoch: number): number[][] => {
    const sampler = createSampler(options);
    const out = new Int32Array(options.batchSize);
    return ascending(sampler.stepsPerEpoch).map((k) => {
      const step = epoch * sampler.stepsPerEpoch + k + 1;
      expect(sampler.epochOf(step)).toBe(epoch);
      const batch = ascending(shards).flatMap((s) => Array.from(out.subarray(0, sampler.ids(step, s, shards, out))));
      expect(batch.length).toBe(sampler.batchRows(step));
      return batch;
    });
  };

  it('visits every row once an epoch, the last batch being what is left', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 64 }),
        fc.nat(3),
        (size, batchSize, epoch) => {
          const batches = collect({ size, batchSize, seed: 5, shuffle: true }, 4, epoch);
          expect(batches.length).toBe(Math.ceil(size / batchSize));
          expect(batches.flat().sort((a, b) => a - b)).toEqual(ascending(size));
          for (const batch of batches.slice(0, -1)) expect(batch.length).toBe(batchSize);
        },
      ),
    );
  });

  it('gives the same batches whatever the number of shards and the order of the questions', () => {
    const options = { size: 103, batchSize: 16, seed: 9, shuffle: true };
    const one = collect(options, 1, 2);
    for (const shards of [2, 3, 4, 16, 20]) expect(collect(options, shards, 2)).toEqual(one);
    const sampler = createSampler(options);
    const out = new Int32Array(16);
    sampler.ids(1, 0, 1, out); // another epoch in between
    sampler.ids(2 * 7 + 1, 0, 1, out);
    expect(Array.from(out)).toEqual(one[0]);
  });

  it('is the permutation of the epoch, or the table order without shuffle', () => {
    const options = { size: 50, batchSize: 8, seed: 4 };
    expect(collect({ ...options, shuffle: true }, 3, 1).flat()).toEqual(epochOrder(50, 4, 1));
    expect(collect({ ...options, shuffle: false }, 3, 1).flat()).toEqual(ascending(50));
    expect(collect({ ...options, shuffle: true }, 1, 0)).not.toEqual(collect({ ...options, shuffle: true }, 1, 1));
  });

  it('takes a batch larger than the table as all of it', () => {
    const sampler = createSampler({ size: 5, batchSize: 100, seed: 1, shuffle: true });
    expect([sampler.stepsPerEpoch, sampler.batchRows(1), sampler.batchRows(9), sampler.epochOf(9)]).toEqual([
      1, 5, 5, 8,
    ]);
  });

  it('refuses sizes and arrays that cannot be', async () => {
    const options = { size: 10, batchSize: 4, seed: 1, shuffle: true };
    for (const wrong of [{ size: 0 }, { batchSize: 0 }, { batchSize: 1.5 }, { size: Number.NaN }]) {
      await failure('E_OPTION', () => createSampler({ ...options, ...wrong }));
    }
    await failure('E_SHAPE', () => createSampler(options).ids(1, 0, 1, new Int32Array(3)));
  });

  it('allocates nothing in ids', () => {
    const sampler = createSampler({ size: 60_000, batchSize: 128, seed: 1, shuffle: true });
    const out = new Int32Array(128);
    const rounds = (from: number, n: number): void => {
      for (let step = from; step < from + n; step++) for (let s = 0; s < 4; s++) sampler.ids(step, s, 4, out);
    };
    rounds(1, 3000); // compiled
    // One boxed number a call would be 12,000 x 16 bytes, each time. What the test runner and the compiler allocate meanwhile is not in every round.
    const growth = Array.from({ length: 10 }, (_, i) => {
      const before = process.memoryUsage().heapUsed;
      rounds(3001 + i * 3000, 3000);
      const grown = process.memoryUsage().heapUsed - before;
      return grown < 0 ? Number.POSITIVE_INFINITY : grown; // collected meanwhile
    });
    expect(Math.min(...growth)).toBeLessThan(100_000);
  });
});
