import { describe, expect, it } from 'vitest';
import { bothLevels, numbers, SIZES } from './sides.ts';

/** dims, strides of x, strides of out, elements of x, elements of out. */
const BOXES: readonly (readonly [string, number[], number[], number[], number, number])[] = [
  ['scalar', [], [], [], 1, 1],
  ['copy', [37], [1], [1], 37, 37],
  ['long copy', [2, 200], [200, 1], [200, 1], 400, 400],
  ['transpose', [9, 7], [1, 9], [7, 1], 63, 63],
  ['transpose of whole blocks', [8, 12], [1, 8], [12, 1], 96, 96],
  ['transpose of a thin matrix', [2, 5], [1, 2], [5, 1], 10, 10],
  ['batched transpose', [3, 6, 5], [30, 1, 6], [30, 5, 1], 90, 90],
  ['NCHW to NHWC', [2, 4, 5, 3], [60, 5, 1, 20], [60, 15, 3, 1], 120, 120],
  ['reversal of four axes', [5, 4, 3, 2], [1, 5, 20, 60], [24, 6, 2, 1], 120, 120],
  ['row broadcast', [6, 10], [0, 1], [10, 1], 10, 60],
  ['column broadcast', [6, 10], [1, 0], [10, 1], 6, 60],
  ['scalar broadcast', [3, 5], [0, 0], [5, 1], 1, 15],
  ['slice', [3, 4], [10, 1], [4, 1], 30, 12],
  ['slice with a step', [3, 4], [20, 2], [4, 1], 60, 12],
  ['pad', [3, 4], [4, 1], [10, 1], 12, 40],
  ['axes of one element', [1, 6, 1, 5], [0, 5, 0, 1], [30, 5, 5, 1], 30, 30],
  ['nothing', [3, 0, 2], [0, 2, 1], [0, 2, 1], 4, 4],
  ['column out', [8, 6], [6, 1], [1, 8], 48, 48],
];

describe.each(await bothLevels())('$simd', (sides) => {
  it.each(BOXES)('stridedCopy: %s', (_name, dims, inStrides, outStrides, inSize, outSize) => {
    sides.reset();
    const x = sides.floats(numbers(1, inSize));
    const out = sides.floats(new Array(outSize).fill(-7));
    const tables = [dims, inStrides, outStrides].map((table) => sides.ints(table));
    sides.run('stridedCopy', out, x, dims.length, tables[0], tables[1], tables[2]);
    expect([...sides.got(out, outSize)]).toEqual([...sides.want(out, outSize)]);
    sides.checkGuards();
  });

  it('fill, fillI32, copy and i32ToF32 at every length', () => {
    for (const n of SIZES) {
      sides.reset();
      const [a, b, c, d, e] = [0, 0, 0, 0, 0].map(() => sides.room(n));
      const ints = sides.ints(numbers(n, n, -1e6, 1e6).map(Math.floor));
      sides.run('fill', a, 1.5, n);
      sides.run('fill', b, 0, n);
      sides.run('fillI32', c, -9, n);
      sides.run('i32ToF32', d, ints, n);
      expect([...sides.got(a, n), ...sides.got(b, n), ...sides.got(d, n)]).toEqual([
        ...sides.want(a, n),
        ...sides.want(b, n),
        ...sides.want(d, n),
      ]);
      expect(sides.gotInts(c, n)).toEqual(sides.wantInts(c, n));
      sides.run('copy', e, ints, n);
      expect(sides.gotInts(e, n)).toEqual(sides.gotInts(ints, n));
      sides.checkGuards();
    }
  });

  it('fill writes the sign of zero and NaN', () => {
    sides.reset();
    const a = sides.room(9);
    sides.wasm.fill(a, -0, 9);
    expect([...sides.got(a, 9)]).toEqual(new Array(9).fill(-0));
    sides.wasm.fill(a, Number.NaN, 9);
    expect([...sides.got(a, 9)]).toEqual(new Array(9).fill(Number.NaN));
  });

  it('copy moves overlapping ranges', () => {
    sides.reset();
    const a = sides.ints(Array.from({ length: 100 }, (_, i) => i));
    sides.wasm.copy(a + 12, a, 90);
    expect([...sides.gotInts(a + 12, 90)]).toEqual(Array.from({ length: 90 }, (_, i) => i));
  });

  it.each([1, 3, 4, 8, 13, 64, 65, 200])('rows by index, %d wide', (width) => {
    sides.reset();
    const tableRows = 11;
    const ids = [10, 0, 3, 3, 7, 10, 0];
    const table = sides.floats(numbers(1, tableRows * width));
    const indices = sides.ints(ids);
    const clamped = sides.ints([-5, 99, 3, 3, 7, 10, 0]);
    const n = ids.length * width;
    const [gathered, words, byClamped] = [sides.room(n), sides.room(n), sides.room(n)];
    sides.run('gatherRows', gathered, table, indices, ids.length, width, tableRows);
    sides.run('gatherRows', byClamped, table, clamped, ids.length, width, tableRows);
    sides.run('gatherWords', words, table, indices, ids.length, width);
    expect([...sides.got(gathered, n)]).toEqual([...sides.want(gathered, n)]);
    expect([...sides.got(byClamped, n)]).toEqual([...sides.want(byClamped, n)]);
    expect([...sides.got(words, n)]).toEqual([...sides.want(gathered, n)]);
    const dy = sides.floats(numbers(2, n).map((v) => Math.round(v * 64) / 64)); // sums are exact
    const sums = sides.floats(numbers(3, tableRows * width));
    sides.run('scatterAddRows', sums, dy, clamped, ids.length, width, tableRows);
    expect([...sides.got(sums, tableRows * width)]).toEqual([...sides.want(sums, tableRows * width)]);
    sides.checkGuards();
  });

  it.each([[1, 1], [5, 1], [4, 3], [3, 7], [64, 1]])('windows %d wide, %d apart', (width, stride) => {
    sides.reset();
    const ids = [6, 0, 3, 3, 1];
    const data = sides.floats(numbers(1, 6 * stride + width));
    const out = sides.room(ids.length * width);
    sides.run('gatherWindows', out, data, sides.ints(ids), ids.length, width, stride);
    expect([...sides.got(out, ids.length * width)]).toEqual([...sides.want(out, ids.length * width)]);
    sides.checkGuards();
  }); // biome-ignore format: a table

  it.each([1, 7, 8, 9, 30, 784])('gatherBytes of rows %d wide', (width) => {
    sides.reset();
    const ids = [4, 0, 2, 2];
    const bytes = new Uint8Array(sides.memory.buffer);
    const data = sides.room(Math.ceil((5 * width) / 4));
    for (let i = 0; i < 5 * width; i++) bytes[data + i] = (i * 37) % 256;
    const out = sides.room(ids.length * width);
    const [scale, shift] = [Math.fround(1 / 255), -0.5];
    sides.wasm.gatherBytes(out, data, sides.ints(ids), ids.length, width, scale, shift);
    const expected = ids.flatMap((id) =>
      Array.from({ length: width }, (_, j) => Math.fround(Math.fround(bytes[data + id * width + j] * scale) + shift)),
    );
    expect([...sides.got(out, expected.length)]).toEqual(expected);
    sides.checkGuards();
  });
});
