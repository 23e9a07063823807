import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { referenceKernels } from '../../src/kernels/reference.ts';
import { mergeScratchBytes, ROW_LIST_STRIDE } from '../../src/kernels/table.ts';
import { bothLevels, numbers, type Sides } from './sides.ts';

/** What one lookup of a shard reads: as many ids as there are rows of its gradient. */
interface Case {
  /** By shard, then by lookup. */
  readonly lookups: readonly (readonly (readonly number[])[])[];
  readonly tableRows: number;
  readonly width: number;
  readonly buckets: number;
  /** Ranges are done in two calls, cut here. */
  readonly cut: number;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    shards: fc.integer({ min: 1, max: 9 }),
    perShard: fc.constantFrom(1, 2, 4),
    tableRows: fc.constantFrom(1, 7, 300, 70_000),
    width: fc.constantFrom(1, 3, 4, 6, 17),
    buckets: fc.integer({ min: 1, max: 12 }),
  })
  .chain(({ shards, perShard, tableRows, width, buckets }) =>
    fc.record({
      lookups: fc.array(
        fc.array(fc.array(fc.nat(tableRows - 1), { maxLength: 40 }), { minLength: perShard, maxLength: perShard }),
        { minLength: shards, maxLength: shards },
      ),
      tableRows: fc.constant(tableRows),
      width: fc.constant(width),
      buckets: fc.constant(buckets),
      cut: fc.nat(buckets),
    }),
  );

/** Headers and room for every list, apart from each other. */
function place(sides: Sides, { lookups, width }: Case) {
  const perShard = lookups[0].length;
  const lists = sides.room((lookups.length * perShard * ROW_LIST_STRIDE) / 4);
  lookups.flat().forEach((indices, i) => {
    const [ids, rows] = [sides.room(indices.length), sides.room(indices.length * width)];
    sides.i32.set([0, ids, rows], (lists + i * ROW_LIST_STRIDE) >> 2);
  });
  return { lists, perShard, stride: perShard * ROW_LIST_STRIDE };
}

describe.each(await bothLevels())('$simd', (sides) => {
  const f32 = referenceKernels({ real: sides.f32, int: sides.i32, sums: sides.f64 });

  it('lists and merges have the bits of the obvious version', () => {
    fc.assert(
      fc.property(cases, (one) => {
        const { lookups, tableRows, width, buckets, cut } = one;
        const all = lookups.flat();
        sides.reset();
        const inputs = all.map((ids, i) => ({
          ids: sides.ints(ids),
          dy: sides.floats(numbers(i + 1, ids.length * width)),
        }));
        const entries = all.reduce((sum, { length }) => sum + length, 0);
        const outcome = (kernels: typeof f32, ranges: readonly (readonly [number, number])[]) => {
          const { lists, perShard, stride } = place(sides, one);
          all.forEach(({ length }, i) => {
            const { ids, dy } = inputs[i];
            const scratch = sides.room(4 * length + 256);
            kernels.listRows(lists + i * ROW_LIST_STRIDE, ids, dy, length, width, tableRows, scratch);
          });
          const [places, ids, rows] = [sides.room(2 * buckets), sides.room(entries), sides.room(entries * width)];
          const scratch = sides.room(mergeScratchBytes(all.length, width) / 4);
          for (const [first, end] of ranges) {
            kernels.mergeRowLists(
              lists, stride, lookups.length, perShard, first, end, buckets, places, ids, rows, width, scratch,
            ); // biome-ignore format: grouped by operand
          }
          return Array.from({ length: buckets }, (_, b) => {
            const [start, count] = sides.gotInts(places + 8 * b, 2);
            return {
              start,
              ids: [...sides.gotInts(ids + 4 * start, count)],
              bits: [...sides.gotInts(rows + 4 * start * width, count * width)],
            };
          });
        };
        const expected = outcome(f32, [[0, buckets]]);
        expect(outcome(sides.wasm, [[0, buckets]])).toEqual(expected);
        expect(
          outcome(sides.wasm, [
            [cut, buckets],
            [0, cut],
          ]),
        ).toEqual(expected);
        expect(expected.flatMap((b) => b.ids)).toEqual([...new Set(all.flat())].sort((a, b) => a - b));
        sides.checkGuards();
      }),
      { numRuns: 150 },
    );
  });

  it('the rows are those that scatterAddRows adds up', () => {
    const [count, width, tableRows] = [50, 5, 20];
    sides.reset();
    const indices = sides.ints(numbers(3, count, 0, tableRows).map(Math.floor));
    const dy = sides.floats(numbers(4, count * width));
    const [table, ids, rows] = [sides.room(tableRows * width), sides.room(count), sides.room(count * width)];
    const list = sides.ints([0, ids, rows]);
    sides.wasm.scatterAddRows(table, dy, indices, count, width, tableRows);
    sides.wasm.listRows(list, indices, dy, count, width, tableRows, sides.room(4 * count + 256));
    const dense = new Float32Array(tableRows * width);
    const listed = sides.gotInts(list, 1)[0];
    sides.gotInts(ids, listed).forEach((id, i) => {
      dense.set(sides.got(rows + 4 * i * width, width), id * width);
    });
    expect(dense).toEqual(sides.got(table, tableRows * width));
  });

  it('cuts the ids into ranges of about equal numbers of entries', () => {
    sides.reset();
    const random = numbers(5, 4 * 400).map((x) => Math.floor(100_000 * x ** 4)); // small ids are frequent
    const one: Case = {
      lookups: [0, 1, 2, 3].map((s) => [random.slice(400 * s, 400 * (s + 1))]),
      tableRows: 100_000,
      width: 1,
      buckets: 8,
      cut: 0,
    };
    const { lists, stride } = place(sides, one);
    one.lookups.flat().forEach((ids, i) => {
      const dy = sides.floats(ids.map(() => 1));
      const scratch = sides.room(4 * ids.length + 256);
      sides.wasm.listRows(lists + i * ROW_LIST_STRIDE, sides.ints(ids), dy, ids.length, 1, 100_000, scratch);
    });
    const [places, ids, rows] = [sides.room(16), sides.room(1600), sides.room(1600)];
    const scratch = sides.room(mergeScratchBytes(4, 1) / 4);
    sides.wasm.mergeRowLists(lists, stride, 4, 1, 0, 8, 8, places, ids, rows, 1, scratch);
    const counts = Array.from({ length: 8 }, (_, b) => sides.gotInts(places + 8 * b, 2)[1]);
    const mean = counts.reduce((a, b) => a + b, 0) / 8;
    for (const count of counts) {
      expect(count).toBeGreaterThan(mean / 2);
      expect(count).toBeLessThan(2 * mean);
    }
  });
});
