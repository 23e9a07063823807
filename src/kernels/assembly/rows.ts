/**
 * Kernels over rows of a matrix: softmax and its relatives, cross-entropy, arg max. Lane order depends on `columns` only;
 * rows of a few columns, where vectors along the row are mostly tail, go four at a time (narrow-rows.ts).
 */
import { exp4, log4, log1pUnit, sigmoid4 } from './exp-log';
import {
  NARROW, narrowCrossEntropy, narrowCrossEntropyGrad, narrowLogSoftmax, narrowSoftmax,
} from './narrow-rows';
import { atLeast, loadTail, madd, maxLanes, nmadd, splat, storeTail, sumLanes } from './simd';

// @ts-ignore: decorator
@inline
function lowest(): v128 {
  return splat(-f32.POSITIVE_INFINITY);
}

/** Largest element of a row that is a number: NaN reaches the results through the exponentials. */
function rowMax(x: usize, columns: usize): f32 {
  let m = lowest();
  const end = x + ((columns & ~3) << 2);
  while (x < end) {
    m = f32x4.pmax(m, v128.load(x));
    x += 16;
  }
  const rest = columns & 3;
  if (rest) m = f32x4.pmax(m, loadTail(x, rest, lowest()));
  return maxLanes(m);
}

/** Writes exp(x - shift) and returns its sum. */
function expRow(out: usize, x: usize, columns: usize, shift: f32): f32 {
  const s = splat(shift);
  let sum = splat(0);
  const end = x + ((columns & ~3) << 2);
  while (x < end) {
    const e = exp4(f32x4.sub(v128.load(x), s));
    v128.store(out, e);
    sum = f32x4.add(sum, e);
    x += 16;
    out += 16;
  }
  const rest = columns & 3;
  if (rest) {
    const e = exp4(f32x4.sub(loadTail(x, rest, lowest()), s));
    storeTail(out, rest, e);
    sum = f32x4.add(sum, e);
  }
  return sumLanes(sum);
}

/** Sum of exp(x - shift). */
function expSumRow(x: usize, columns: usize, shift: f32): f32 {
  const s = splat(shift);
  let sum = splat(0);
  const end = x + ((columns & ~3) << 2);
  while (x < end) {
    sum = f32x4.add(sum, exp4(f32x4.sub(v128.load(x), s)));
    x += 16;
  }
  const rest = columns & 3;
  if (rest) sum = f32x4.add(sum, exp4(f32x4.sub(loadTail(x, rest, lowest()), s)));
  return sumLanes(sum);
}

/** out = (x + shift) * factor */
function affineRow(out: usize, x: usize, columns: usize, shift: f32, factor: f32): void {
  const s = splat(shift);
  const f = splat(factor);
  const end = x + ((columns & ~3) << 2);
  while (x < end) {
    v128.store(out, f32x4.mul(f32x4.add(v128.load(x), s), f));
    x += 16;
    out += 16;
  }
  const rest = columns & 3;
  if (rest) storeTail(out, rest, f32x4.mul(f32x4.add(loadTail(x, rest, s), s), f));
}

function sumRow(x: usize, columns: usize): f32 {
  let sum = splat(0);
  const end = x + ((columns & ~3) << 2);
  while (x < end) {
    sum = f32x4.add(sum, v128.load(x));
    x += 16;
  }
  const rest = columns & 3;
  if (rest) sum = f32x4.add(sum, loadTail(x, rest, splat(0)));
  return sumLanes(sum);
}

function dotRow(x: usize, y: usize, columns: usize): f32 {
  let sum = splat(0);
  const end = x + ((columns & ~3) << 2);
  while (x < end) {
    sum = madd(v128.load(x), v128.load(y), sum);
    x += 16;
    y += 16;
  }
  const rest = columns & 3;
  if (rest) sum = madd(loadTail(x, rest, splat(0)), loadTail(y, rest, splat(0)), sum);
  return sumLanes(sum);
}

// @ts-ignore: decorator
@inline
function logScalar(x: f32): f32 {
  return f32x4.extract_lane(log4(splat(x)), 0);
}

export function softmax(out: usize, x: usize, rows: usize, columns: usize): void {
  if (columns <= NARROW) {
    narrowSoftmax(out, x, rows, columns);
    return;
  }
  const stride = columns << 2;
  for (let i: usize = 0; i < rows; i++) {
    const sum = expRow(out, x, columns, rowMax(x, columns));
    affineRow(out, out, columns, 0, 1 / sum);
    out += stride;
    x += stride;
  }
}

export function logSoftmax(out: usize, x: usize, rows: usize, columns: usize): void {
  if (columns <= NARROW) {
    narrowLogSoftmax(out, x, rows, columns);
    return;
  }
  const stride = columns << 2;
  for (let i: usize = 0; i < rows; i++) {
    const m = rowMax(x, columns);
    const logSum = logScalar(expSumRow(x, columns, m));
    // Twice, not x - (m + logSum): the difference to the largest element is small and keeps its digits.
    affineRow(out, x, columns, -m, 1);
    affineRow(out, out, columns, -logSum, 1);
    out += stride;
    x += stride;
  }
}

/** out = y (dy - sum(y dy)) */
export function softmaxGrad(out: usize, y: usize, dy: usize, rows: usize, columns: usize): void {
  const vectors = (columns & ~3) << 2;
  const rest = columns & 3;
  for (let i: usize = 0; i < rows; i++) {
    const dot = splat(dotRow(y, dy, columns));
    const end = y + vectors;
    while (y < end) {
      v128.store(out, f32x4.mul(v128.load(y), f32x4.sub(v128.load(dy), dot)));
      y += 16;
      dy += 16;
      out += 16;
    }
    if (rest) {
      storeTail(out, rest, f32x4.mul(loadTail(y, rest, dot), f32x4.sub(loadTail(dy, rest, dot), dot)));
      y += rest << 2;
      dy += rest << 2;
      out += rest << 2;
    }
  }
}

/** out = dy - exp(y) sum(dy) */
export function logSoftmaxGrad(out: usize, y: usize, dy: usize, rows: usize, columns: usize): void {
  const vectors = (columns & ~3) << 2;
  const rest = columns & 3;
  for (let i: usize = 0; i < rows; i++) {
    const sum = splat(sumRow(dy, columns));
    const end = y + vectors;
    while (y < end) {
      v128.store(out, nmadd(exp4(v128.load(y)), sum, v128.load(dy)));
      y += 16;
      dy += 16;
      out += 16;
    }
    if (rest) {
      storeTail(out, rest, nmadd(exp4(loadTail(y, rest, sum)), sum, loadTail(dy, rest, sum)));
      y += rest << 2;
      dy += rest << 2;
      out += rest << 2;
    }
  }
}

/** log(sum exp(x - m)) - (x[label] - m), mixed with its mean over all classes by `smoothing`. */
export function softmaxCrossEntropy(
  out: usize, logits: usize, labels: usize, rows: usize, columns: usize, smoothing: f32,
): void {
  if (columns <= NARROW) {
    narrowCrossEntropy(out, logits, labels, rows, columns, smoothing);
    return;
  }
  const stride = columns << 2;
  for (let i: usize = 0; i < rows; i++) {
    const label = load<u32>(labels);
    let loss: f32 = f32.NaN;
    if (label < columns) {
      const m = rowMax(logits, columns);
      const logSum = logScalar(expSumRow(logits, columns, m));
      loss = logSum - (load<f32>(logits + (label << 2)) - m);
      if (smoothing != 0) {
        const mean = logSum - shiftedSum(logits, columns, m) / <f32>columns;
        loss = (1 - smoothing) * loss + smoothing * mean;
      }
    }
    store<f32>(out, loss);
    out += 4;
    labels += 4;
    logits += stride;
  }
}

/** sum of x - shift */
function shiftedSum(x: usize, columns: usize, shift: f32): f32 {
  const s = splat(shift);
  let sum = splat(0);
  const end = x + ((columns & ~3) << 2);
  while (x < end) {
    sum = f32x4.add(sum, f32x4.sub(v128.load(x), s));
    x += 16;
  }
  const rest = columns & 3;
  if (rest) sum = f32x4.add(sum, f32x4.sub(loadTail(x, rest, s), s));
  return sumLanes(sum);
}

/** dLoss (softmax - target); a label outside the classes gives NaN. */
export function softmaxCrossEntropyGrad(
  out: usize, logits: usize, labels: usize, dLoss: usize, rows: usize, columns: usize, smoothing: f32,
): void {
  if (columns <= NARROW) {
    narrowCrossEntropyGrad(out, logits, labels, dLoss, rows, columns, smoothing);
    return;
  }
  const stride = columns << 2;
  const uniform: f32 = smoothing / <f32>columns;
  for (let i: usize = 0; i < rows; i++) {
    const label = load<u32>(labels);
    const upstream: f32 = label < columns ? load<f32>(dLoss) : f32.NaN;
    const sum = expRow(out, logits, columns, rowMax(logits, columns));
    affineRow(out, out, columns, 0, 1 / sum);
    if (label < columns) {
      const own = out + (label << 2);
      store<f32>(own, load<f32>(own) - (1 - smoothing));
    }
    affineRow(out, out, columns, -uniform, upstream);
    out += stride;
    logits += stride;
    labels += 4;
    dLoss += 4;
  }
}

/** max(z, 0) - z t + log(1 + exp(-|z|)) */
export function bceWithLogits(out: usize, z: usize, target: usize, count: usize): void {
  while (count) {
    const n = min<usize>(count, 4);
    const x = n == 4 ? v128.load(z) : loadTail(z, n, splat(0));
    const t = n == 4 ? v128.load(target) : loadTail(target, n, splat(0));
    const softplus = log1pUnit(exp4(f32x4.neg(f32x4.abs(x))));
    const y = f32x4.add(nmadd(x, t, atLeast(x, splat(0))), softplus);
    if (n == 4) v128.store(out, y);
    else storeTail(out, n, y);
    z += 16;
    target += 16;
    out += 16;
    count -= n;
  }
}

/** dy (sigmoid(z) - t) */
export function bceWithLogitsGrad(out: usize, z: usize, target: usize, dy: usize, count: usize): void {
  while (count) {
    const n = min<usize>(count, 4);
    const x = n == 4 ? v128.load(z) : loadTail(z, n, splat(0));
    const t = n == 4 ? v128.load(target) : loadTail(target, n, splat(0));
    const d = n == 4 ? v128.load(dy) : loadTail(dy, n, splat(0));
    const y = f32x4.mul(d, f32x4.sub(sigmoid4(x), t));
    if (n == 4) v128.store(out, y);
    else storeTail(out, n, y);
    z += 16;
    target += 16;
    dy += 16;
    out += 16;
    count -= n;
  }
}

/** Index of the first largest element of each row. */
export function argmax(out: usize, x: usize, rows: usize, columns: usize): void {
  for (let i: usize = 0; i < rows; i++) {
    let best: usize = 0;
    let value = load<f32>(x);
    for (let j: usize = 1; j < columns; j++) {
      const v = load<f32>(x + (j << 2));
      if (v > value) {
        value = v;
        best = j;
      }
    }
    store<u32>(out, <u32>best);
    out += 4;
    x += columns << 2;
  }
}

/** 1 where fewer than k elements of the row are larger than that of the label; 0 for a label outside the classes. */
export function inTopK(out: usize, x: usize, labels: usize, rows: usize, columns: usize, k: i32): void {
  for (let i: usize = 0; i < rows; i++) {
    const label = load<u32>(labels);
    let hit: f32 = 0;
    if (label < columns) {
      const own = load<f32>(x + (label << 2));
      let larger: i32 = 0;
      for (let j: usize = 0; j < columns; j++) if (load<f32>(x + (j << 2)) > own) larger++;
      if (larger < k) hit = 1;
    }
    store<f32>(out, hit);
    out += 4;
    labels += 4;
    x += columns << 2;
  }
}
