import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBlockSampler, windowCapacity } from '../../src/data/block-sampler.ts';
import { planBlocks } from '../../src/data/stream.ts';

const spec = fc.record({
  size: fc.integer({ min: 1, max: 400 }),
  blockRows: fc.integer({ min: 1, max: 20 }),
  windowBlocks: fc.integer({ min: 1, max: 8 }),
  gap: fc.integer({ min: 0, max: 3 }),
  batchSize: fc.integer({ min: 1, max: 60 }),
  shards: fc.integer({ min: 1, max: 5 }),
  seed: fc.nat(1000),
});

/** Ids and places of an epoch, in the order of its steps and shards. */
function epochOf(
  given: { size: number; blockRows: number; windowBlocks: number; gap?: number; batchSize: number; seed: number },
  shards: number,
  epoch: number,
) {
  const { size, batchSize, seed, ...blocks } = given;
  const sampler = createBlockSampler({ size, batchSize, seed, shuffle: true, blocks });
  const steps: { step: number; ids: number[]; places: number[] }[] = [];
  for (let i = 1; i <= sampler.stepsPerEpoch; i++) {
    const step = epoch * sampler.stepsPerEpoch + i;
    const all = { step, ids: [] as number[], places: [] as number[] };
    for (let shard = 0; shard < shards; shard++) {
      const [ids, places] = [new Int32Array(batchSize), new Int32Array(batchSize)];
      const count = sampler.ids(step, shard, shards, ids, places);
      all.ids.push(...ids.subarray(0, count));
      all.places.push(...places.subarray(0, count));
    }
    steps.push(all);
  }
  return { sampler, steps };
}

describe('createBlockSampler', () => {
  it('gives every row once an epoch, in another order each, whatever the shards', () => {
    fc.assert(
      fc.property(spec, (given) => {
        const { steps } = epochOf(given, given.shards, 1);
        const ids = steps.flatMap((s) => s.ids);
        expect([...ids].sort((a, b) => a - b)).toEqual(Array.from({ length: given.size }, (_, i) => i));
        expect(epochOf(given, 1, 1).steps.flatMap((s) => s.ids)).toEqual(ids);
        if (given.size > 20 && given.blockRows * given.windowBlocks > 20) {
          expect(epochOf(given, 1, 2).steps.flatMap((s) => s.ids)).not.toEqual(ids);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('finds each row where eachBlock has put it, in one of the two windows that the step needs', () => {
    fc.assert(
      fc.property(spec, (given) => {
        const { sampler, steps } = epochOf(given, given.shards, 3);
        const memory = new Map<number, number>();
        const capacity = windowCapacity(given);
        let loaded = -1;
        for (const { step, ids, places } of steps) {
          for (let g = sampler.firstWindow(step); g <= sampler.lastWindow(step); g++) {
            if (g <= loaded) continue;
            loaded = g;
            for (const place of memory.keys()) if (Math.floor(place / capacity) === g % 2) memory.delete(place);
            sampler.eachBlock(g, (firstRow, rows, place) => {
              const taken = Array.from({ length: rows + given.gap }, (_, i) => place + i); // the last rows reach into the gap
              expect(taken.filter((p) => memory.has(p))).toEqual([]);
              for (let i = 0; i < rows; i++) memory.set(place + i, firstRow + i);
              expect(place + rows + given.gap).toBeLessThanOrEqual(((g % 2) + 1) * capacity);
            });
          }
          if (given.batchSize > sampler.smallestWindow) continue; // refused before training
          expect(sampler.lastWindow(step) - sampler.firstWindow(step)).toBeLessThanOrEqual(1);
          expect(places.map((place) => memory.get(place))).toEqual(ids);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('mixes rows that lie far apart: a sorted file does not come sorted', () => {
    const given = { size: 10_000, blockRows: 20, windowBlocks: 32, batchSize: 100, seed: 1 };
    for (const { ids } of epochOf(given, 1, 0).steps) {
      const thirds = [0, 0, 0];
      for (const id of ids) thirds[Math.floor((3 * id) / given.size)] += 1;
      expect(Math.min(...thirds)).toBeGreaterThan(5);
    }
  });
});

describe('planBlocks', () => {
  it('fits a window with its ragged block into the rows it may have', () => {
    for (const gap of [0, 1, 7, 63])
      for (let rows = 2 * (gap + 1); rows < 5000; rows += 37)
        expect(windowCapacity(planBlocks(rows, gap))).toBeLessThanOrEqual(rows);
  });
});
