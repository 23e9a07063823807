import { type NumberColumn, valuesOf } from './number-column.ts';
import type { Part } from './transforms.ts';

/** How numbers are brought to a common scale: mean 0 and standard deviation 1, [0, 1], or not at all. */
export type Normalization = 'standard' | 'minmax' | false;

interface NumericField {
  readonly field: string;
  readonly column: string;
  readonly at?: number;
  readonly shape: readonly number[];
}

/**
 * Fits the numbers of one column: `width` numbers a row are fitted each for itself from `count` rows, `value(i, j)` is element j
 * of row i; NaN (no value) is left out. Sums are f64 in row order, the variance in a second pass divided by n, so the
 * fitted numbers depend on nothing but the rows. A column that never changes becomes 0 everywhere.
 */
export function fitNumbers(
  mode: Normalization,
  base: NumericField,
  count: number,
  width: number,
  value: (row: number, element: number) => number,
): Part {
  if (mode === false) return { kind: 'tensor', ...base, dtype: 'f32' };
  if (mode === 'minmax') {
    const [min, max] = range(count, width, value);
    return { kind: 'minmax', ...base, min, max: max.map((m, j) => (m > min[j] ? m : min[j] + 1)) };
  }
  const mean = means(count, width, (i, j) => value(i, j));
  const variance = means(count, width, (i, j) => (value(i, j) - mean[j]) ** 2);
  return { kind: 'standardize', ...base, mean, std: variance.map((v) => (v > 0 ? Math.sqrt(v) : 1)) };
}

/** As `fitNumbers`, but one pair of numbers for all `width` elements of all rows (images). */
export function fitAll(
  mode: Normalization,
  base: NumericField,
  count: number,
  width: number,
  value: (row: number, element: number) => number,
): Part {
  return fitNumbers(mode, base, count * width, 1, (i) => {
    const row = Math.floor(i / width);
    return value(row, i - row * width);
  });
}

/** The mean of what there is of each element; 0 where there is nothing. */
export function means(count: number, width: number, value: (row: number, element: number) => number): number[] {
  const sums = new Array<number>(width).fill(0);
  const seen = new Array<number>(width).fill(0);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < width; j++) {
      const x = value(i, j);
      if (Number.isNaN(x)) continue;
      sums[j] += x;
      seen[j] += 1;
    }
  }
  return sums.map((sum, j) => (seen[j] > 0 ? sum / seen[j] : 0));
}

function range(
  count: number,
  width: number,
  value: (row: number, element: number) => number,
): [min: number[], max: number[]] {
  const min = new Array<number>(width).fill(Number.POSITIVE_INFINITY);
  const max = new Array<number>(width).fill(Number.NEGATIVE_INFINITY);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < width; j++) {
      const x = value(i, j);
      if (x < min[j]) min[j] = x;
      if (x > max[j]) max[j] = x;
    }
  }
  return [min.map((m) => (Number.isFinite(m) ? m : 0)), max.map((m) => (Number.isFinite(m) ? m : 1))];
}

/**
 * Scale and shift of bytes: mean 0 and standard deviation 1 over all of them, [0, 1] ('unit': bytes / 255), or as they are. Rounded once here,
 * so that the kernel's f32 arithmetic and a raw row's are the same.
 */
export function fitPixels(
  mode: 'standard' | 'unit' | false,
  moments: () => [mean: number, std: number],
): { scale: number; shift: number } {
  if (mode === false) return { scale: 1, shift: 0 };
  if (mode === 'unit') return { scale: Math.fround(1 / 255), shift: 0 };
  const [mean, std] = moments();
  return { scale: Math.fround(1 / std), shift: Math.fround(-mean / std) };
}

/** An i32 column taken as it is; its size is the declared one, else the largest value of the `count` training rows + 1. */
export function fitIndex(
  name: string,
  column: NumberColumn,
  count: number,
  ids: Int32Array | undefined,
  declared?: number,
): Part {
  const { shape } = column;
  const value = valuesOf(column, ids);
  const width = shape.reduce((a, b) => a * b, 1);
  let largest = 0;
  for (let r = 0; r < count; r++) for (let i = 0; i < width; i++) largest = Math.max(largest, value(r, i));
  return { kind: 'tensor', field: name, column: name, dtype: 'i32', shape, size: declared ?? largest + 1 };
}
