import type { RawArray, TensorColumn } from './raw.ts';
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

/** As `fitNumbers`, but one pair of numbers for all elements of all rows (images). */
export function fitAll(
  mode: Normalization,
  base: NumericField,
  data: RawArray,
  ids: Int32Array | undefined,
  width: number,
): Part {
  const rows = ids?.length ?? data.length / width;
  return fitNumbers(mode, base, rows * width, 1, (i) => {
    if (!ids) return data[i];
    const row = Math.floor(i / width);
    return data[ids[row] * width + (i - row * width)];
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

/** How often each byte comes. */
export class ByteHistogram {
  readonly #totals = new Float64Array(256);
  /** Four interleaved tables: equal neighbours do not wait for each other. */
  readonly #counts = new Uint32Array(1024);
  #pending = 0;

  /** Counts data[begin] .. data[end - 1]. */
  add(data: Uint8Array, begin: number, end: number): void {
    const counts = this.#counts;
    let i = begin;
    for (; i + 4 <= end; i += 4) {
      counts[data[i]]++;
      counts[256 + data[i + 1]]++;
      counts[512 + data[i + 2]]++;
      counts[768 + data[i + 3]]++;
    }
    for (; i < end; i++) counts[data[i]]++;
    this.#pending += end - begin;
    if (this.#pending > 2 ** 30) this.#collect();
  }

  /** Exact integer sums, whatever the order. The standard deviation is 1 where all bytes are equal. */
  moments(): [mean: number, std: number] {
    const histogram = this.#collect();
    let [n, sum, squares] = [0, 0, 0];
    for (let b = 0; b < 256; b++) n += histogram[b];
    for (let b = 0; b < 256; b++) sum += b * histogram[b];
    const mean = sum / n;
    for (let b = 0; b < 256; b++) squares += histogram[b] * (b - mean) ** 2;
    return [mean, squares > 0 ? Math.sqrt(squares / n) : 1];
  }

  /** The smallest byte, and how far the largest is from it (at least 1). */
  range(): [min: number, range: number] {
    const seen = Array.from(this.#collect(), (count, b) => (count > 0 ? b : -1)).filter((b) => b >= 0);
    const [min = 0] = seen;
    return [min, Math.max(1, (seen[seen.length - 1] ?? 0) - min)];
  }

  #collect(): Float64Array {
    for (let k = 0; k < 1024; k++) this.#totals[k & 255] += this.#counts[k];
    this.#counts.fill(0);
    this.#pending = 0;
    return this.#totals;
  }
}

/** Mean and standard deviation of the bytes of rows `ids` (all, if absent). */
export function byteMoments(data: Uint8Array, ids: Int32Array | undefined, width: number): [mean: number, std: number] {
  const histogram = new ByteHistogram();
  for (let r = 0; r < (ids?.length ?? data.length / width); r++) {
    const begin = (ids ? ids[r] : r) * width;
    histogram.add(data, begin, begin + width);
  }
  return histogram.moments();
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

/** An i32 column taken as it is; its size is the declared one, else the largest training value + 1. */
export function fitIndex(
  name: string,
  { shape, data }: TensorColumn,
  ids: Int32Array | undefined,
  declared?: number,
): Part {
  const width = shape.reduce((a, b) => a * b, 1);
  let largest = 0;
  const rows = ids?.length ?? data.length / width;
  for (let r = 0; r < rows; r++) {
    const begin = (ids ? ids[r] : r) * width;
    for (let i = begin; i < begin + width; i++) if (data[i] > largest) largest = data[i];
  }
  return { kind: 'tensor', field: name, column: name, dtype: 'i32', shape, size: declared ?? largest + 1 };
}
