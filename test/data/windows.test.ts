import { loadData, type Series, windows } from 'lockstep/data';
import { expect, test } from 'vitest';

/** Rows of the loaded fields, as nested numbers. */
async function load(series: Series, options: Parameters<typeof windows>[1]) {
  const data = await loadData({ train: windows(series, options) }, { seed: 1, baseDir: '.' });
  if (data.train.kind !== 'table') throw new Error('windows give a table');
  const { size, columns } = data.train;
  return Object.fromEntries(
    columns.map(({ name, shape, data }) => {
      const width = shape.reduce((a, b) => a * b, 1);
      return [
        name,
        { shape, rows: Array.from({ length: size }, (_, i) => [...data.slice(i * width, (i + 1) * width)]) },
      ];
    }),
  );
}

test('each window sees `length` time steps and forecasts the `horizon` after them', async () => {
  expect(await load([1, 2, 3, 4, 5, 6], { length: 3, horizon: 2 })).toEqual({
    x: { shape: [3, 1], rows: [[1, 2, 3], [2, 3, 4]] },
    y: { shape: [2], rows: [[4, 5], [5, 6]] },
  }); // biome-ignore format: rows
  expect((await load(Float64Array.of(1, 2, 3, 4, 5, 6), { length: 1, stride: 2 })).y.rows).toEqual([[2], [4], [6]]);
});

test('of several numbers a time step one is forecast', async () => {
  const series = [[1, 10], [2, 20], [3, 30], [4, 40]]; // biome-ignore format: rows
  expect(await load(series, { length: 2, target: 1 })).toEqual({
    x: { shape: [2, 2], rows: [[1, 10, 2, 20], [2, 20, 3, 30]] },
    y: { shape: [1], rows: [[30], [40]] },
  }); // biome-ignore format: rows
});

test('what does not fit is refused', () => {
  expect(() => windows([1, 2, 3], { length: 3 })).toThrow(/at least 4 time steps \(length 3 \+ horizon 1\), got 3/);
  expect(() => windows([1, 2, 3], { length: 0 })).toThrow(/windows: length: expected an integer of at least 1, got 0/);
  expect(() => windows([1, 2, 3], { length: 1, target: 1 })).toThrow(/windows: target: expected a number from 0 to 0/);
  expect(() => windows([[1, 2], [3]], { length: 1 })).toThrow(/time step 1: expected 2 numbers, as before/);
});
