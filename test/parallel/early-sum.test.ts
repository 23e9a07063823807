import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EarlySum, earlySumWords, NOT_YET, resetEarlySum } from '../../src/parallel/early-sum.ts';

test('each element is added up once, as soon as it is final in all workers, the first layer excepted', () => {
  const workers = fc.integer({ min: 1, max: 5 });
  // Which worker comes to the end of its next layer, over and over; layers end at these elements.
  const turns = fc.array(fc.nat(), { maxLength: 60 });
  fc.assert(
    fc.property(workers, turns, (count, order) => {
      const layers = [900, 640, 600, 128, 0];
      const words = new Int32Array(new SharedArrayBuffer(4 * earlySumWords(count)));
      resetEarlySum(words);
      const made: [number, number][] = [];
      const told: number[] = [];
      const sums = Array.from({ length: count }, (_, rank) =>
        new EarlySum(words, rank, (from, to) => made.push([from, to]), (from) => told.push(from)),
      ); // biome-ignore format: one line
      const passed = new Array<number>(count).fill(0);
      for (const turn of order) {
        const rank = turn % count;
        if (passed[rank] < layers.length) sums[rank].reached(layers[passed[rank]++]);
        else sums[rank].finish();
        const final = layers[Math.min(...passed) - 1];
        expect(sums[0].madeFrom).toBe(final === undefined ? NOT_YET : final || (told.at(-1) ?? NOT_YET));
      }
      expect(made.map(([from]) => from)).toEqual(told);
      expect(made.map(([, to]) => to)).toEqual([NOT_YET, ...told].slice(0, made.length));
      expect(told.every((from, i) => from > 0 && from < (told[i - 1] ?? NOT_YET))).toBe(true);
    }),
  );
});

test('a worker that comes while another adds leaves it to that one', () => {
  const words = new Int32Array(earlySumWords(2));
  resetEarlySum(words);
  const made: number[] = [];
  const second = new EarlySum(words, 1, () => expect.unreachable(), () => undefined); // biome-ignore format: one line
  const first = new EarlySum(
    words,
    0,
    (from) => {
      made.push(from);
      if (made.length === 1) second.reached(50); // in the middle of it
    },
    () => undefined,
  );
  words[3] = 100; // where the second worker is
  first.reached(20);
  expect(made).toEqual([100, 50]);
});
