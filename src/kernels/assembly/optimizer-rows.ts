/**
 * Sparse updates: the dense pass of a rule on the rows that a gradient names. Row ids are distinct (sum duplicates first);
 * rows that are not named are neither read nor written.
 */
import { adagrad, sgd } from './optimizers';
import { adam } from './optimizers-adam';

/** Scalars as sgd. `p` and slots point to [tableRows, width], `g` to [rows, width], `ids` to i32 [rows]. */
export function sgdRows(
  p: usize, g: usize, ids: usize, rows: usize, width: usize, s0: usize, s1: usize, s: usize,
): void {
  for (let row: usize = 0; row < rows; row++) {
    const at = (<usize>load<u32>(ids + (row << 2)) * width) << 2;
    sgd(p + at, g + ((row * width) << 2), 0, 0, 0, width, s);
  }
}

/** Scalars as adagrad. */
export function adagradRows(
  p: usize, g: usize, ids: usize, rows: usize, width: usize, s0: usize, s1: usize, s: usize,
): void {
  for (let row: usize = 0; row < rows; row++) {
    const at = (<usize>load<u32>(ids + (row << 2)) * width) << 2;
    adagrad(p + at, g + ((row * width) << 2), s0 + at, 0, 0, width, s);
  }
}

/** Scalars as adam. */
export function adamRows(
  p: usize, g: usize, ids: usize, rows: usize, width: usize, s0: usize, s1: usize, s: usize,
): void {
  for (let row: usize = 0; row < rows; row++) {
    const at = (<usize>load<u32>(ids + (row << 2)) * width) << 2;
    adam(p + at, g + ((row * width) << 2), s0 + at, s1 + at, 0, width, s);
  }
}
