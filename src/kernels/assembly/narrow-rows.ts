/**
 * Softmax and cross-entropy of matrices with few columns: four rows at a time, one in each lane, column after column. Rows
 * that are missing in the last four stand in for themselves by repeating the first: they compute and store the same numbers.
 */
import { exp4, log4 } from './exp-log';
import { splat, storeTail } from './simd';

/** Most columns of a narrow matrix. */
// @ts-ignore: decorator
@inline
export const NARROW: usize = 16;

/** One element of each of four rows. */
// @ts-ignore: decorator
@inline
function gather(p0: usize, p1: usize, p2: usize, p3: usize): v128 {
  let v = v128.load32_zero(p0);
  v = v128.load_lane<u32>(p1, v, 1);
  v = v128.load_lane<u32>(p2, v, 2);
  return v128.load_lane<u32>(p3, v, 3);
}

// @ts-ignore: decorator
@inline
function scatter(p0: usize, p1: usize, p2: usize, p3: usize, v: v128): void {
  v128.store_lane<u32>(p0, v, 0);
  v128.store_lane<u32>(p1, v, 1);
  v128.store_lane<u32>(p2, v, 2);
  v128.store_lane<u32>(p3, v, 3);
}

/** Largest numbers of four rows. */
// @ts-ignore: decorator
@inline
function largest(x0: usize, x1: usize, x2: usize, x3: usize, size: usize): v128 {
  let m = splat(-f32.POSITIVE_INFINITY);
  for (let j: usize = 0; j < size; j += 4) m = f32x4.pmax(m, gather(x0 + j, x1 + j, x2 + j, x3 + j));
  return m;
}

/** Sums of exp(x - shift) of four rows. */
// @ts-ignore: decorator
@inline
function expSums(x0: usize, x1: usize, x2: usize, x3: usize, size: usize, shift: v128): v128 {
  let sum = splat(0);
  for (let j: usize = 0; j < size; j += 4) {
    sum = f32x4.add(sum, exp4(f32x4.sub(gather(x0 + j, x1 + j, x2 + j, x3 + j), shift)));
  }
  return sum;
}

export function narrowSoftmax(out: usize, x: usize, rows: usize, columns: usize): void {
  const size = columns << 2;
  for (let i: usize = 0; i < rows; i += 4) {
    const left = rows - i;
    const d1 = left > 1 ? size : 0;
    const d2 = left > 2 ? 2 * size : 0;
    const d3 = left > 3 ? 3 * size : 0;
    const m = largest(x, x + d1, x + d2, x + d3, size);
    let sum = splat(0);
    for (let j: usize = 0; j < size; j += 4) {
      const p = x + j;
      const q = out + j;
      const e = exp4(f32x4.sub(gather(p, p + d1, p + d2, p + d3), m));
      sum = f32x4.add(sum, e);
      scatter(q, q + d1, q + d2, q + d3, e);
    }
    const factor = f32x4.div(splat(1.0), sum);
    for (let j: usize = 0; j < size; j += 4) {
      const q = out + j;
      scatter(q, q + d1, q + d2, q + d3, f32x4.mul(gather(q, q + d1, q + d2, q + d3), factor));
    }
    x += 4 * size;
    out += 4 * size;
  }
}

export function narrowLogSoftmax(out: usize, x: usize, rows: usize, columns: usize): void {
  const size = columns << 2;
  for (let i: usize = 0; i < rows; i += 4) {
    const left = rows - i;
    const d1 = left > 1 ? size : 0;
    const d2 = left > 2 ? 2 * size : 0;
    const d3 = left > 3 ? 3 * size : 0;
    const m = largest(x, x + d1, x + d2, x + d3, size);
    const logSum = log4(expSums(x, x + d1, x + d2, x + d3, size, m));
    for (let j: usize = 0; j < size; j += 4) {
      const p = x + j;
      const q = out + j;
      const y = f32x4.sub(f32x4.sub(gather(p, p + d1, p + d2, p + d3), m), logSum);
      scatter(q, q + d1, q + d2, q + d3, y);
    }
    x += 4 * size;
    out += 4 * size;
  }
}

/** The logit of the row's label, NaN for a label outside the classes. */
// @ts-ignore: decorator
@inline
function ownLogit(x: usize, label: u32, columns: usize): f32 {
  return label < <u32>columns ? load<f32>(x + (<usize>label << 2)) : f32.NaN;
}

/** Labels of four rows, missing ones as the first. */
// @ts-ignore: decorator
@inline
function fourLabels(labels: usize, left: usize): v128 {
  return gather(labels, left > 1 ? labels + 4 : labels, left > 2 ? labels + 8 : labels, left > 3 ? labels + 12 : labels);
}

export function narrowCrossEntropy(
  out: usize, logits: usize, labels: usize, rows: usize, columns: usize, smoothing: f32,
): void {
  const size = columns << 2;
  for (let i: usize = 0; i < rows; i += 4) {
    const left = rows - i;
    const x1 = left > 1 ? logits + size : logits;
    const x2 = left > 2 ? logits + 2 * size : logits;
    const x3 = left > 3 ? logits + 3 * size : logits;
    const m = largest(logits, x1, x2, x3, size);
    const logSum = log4(expSums(logits, x1, x2, x3, size, m));
    const label = fourLabels(labels, left);
    const own = f32x4(
      ownLogit(logits, i32x4.extract_lane(label, 0), columns),
      ownLogit(x1, i32x4.extract_lane(label, 1), columns),
      ownLogit(x2, i32x4.extract_lane(label, 2), columns),
      ownLogit(x3, i32x4.extract_lane(label, 3), columns),
    );
    let loss = f32x4.sub(logSum, f32x4.sub(own, m));
    if (smoothing != 0) {
      let sum = splat(0);
      for (let j: usize = 0; j < size; j += 4) {
        sum = f32x4.add(sum, f32x4.sub(gather(logits + j, x1 + j, x2 + j, x3 + j), m));
      }
      const mean = f32x4.sub(logSum, f32x4.div(sum, splat(<f32>columns)));
      loss = f32x4.add(f32x4.mul(splat(1 - smoothing), loss), f32x4.mul(splat(smoothing), mean));
    }
    if (left >= 4) v128.store(out, loss);
    else storeTail(out, left, loss);
    logits += 4 * size;
    labels += 16;
    out += 16;
  }
}

export function narrowCrossEntropyGrad(
  out: usize, logits: usize, labels: usize, dLoss: usize, rows: usize, columns: usize, smoothing: f32,
): void {
  const size = columns << 2;
  const uniform = splat(smoothing / <f32>columns);
  const sharp = splat(1 - smoothing);
  for (let i: usize = 0; i < rows; i += 4) {
    const left = rows - i;
    const d1 = left > 1 ? size : 0;
    const d2 = left > 2 ? 2 * size : 0;
    const d3 = left > 3 ? 3 * size : 0;
    const label = fourLabels(labels, left);
    const valid = i32x4.lt_u(label, i32x4.splat(<i32>columns));
    const upstream = v128.bitselect(fourLabels(dLoss, left), splat(f32.NaN), valid);
    const m = largest(logits, logits + d1, logits + d2, logits + d3, size);
    const factor = f32x4.div(splat(1.0), expSums(logits, logits + d1, logits + d2, logits + d3, size, m));
    for (let j: usize = 0; j < columns; j++) {
      const p = logits + (j << 2);
      const q = out + (j << 2);
      const softmax = f32x4.mul(exp4(f32x4.sub(gather(p, p + d1, p + d2, p + d3), m)), factor);
      const own = v128.and(sharp, i32x4.eq(label, i32x4.splat(<i32>j)));
      const y = f32x4.mul(f32x4.sub(f32x4.sub(softmax, own), uniform), upstream);
      scatter(q, q + d1, q + d2, q + d3, y);
    }
    logits += 4 * size;
    out += 4 * size;
    labels += 16;
    dLoss += 16;
  }
}
