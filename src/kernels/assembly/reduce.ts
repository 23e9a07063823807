/** Reductions of x [outer, length, inner] over `length`, in an order that depends on the shape only. */
import { loadTail, maxLanes, minLanes, op, promoteHigh, splat, storeTail, sumLanes } from './simd';

class Sum {
  @inline start(): f32 { return 0; }
  @inline f(a: v128, b: v128): v128 { return f32x4.add(a, b); }
  @inline lanes(v: v128): f32 { return sumLanes(v); }
}
/** NaN wins. */
class Max {
  @inline start(): f32 { return -f32.POSITIVE_INFINITY; }
  @inline f(a: v128, b: v128): v128 { return f32x4.max(a, b); }
  @inline lanes(v: v128): f32 { return maxLanes(v); }
}
class Min {
  @inline start(): f32 { return f32.POSITIVE_INFINITY; }
  @inline f(a: v128, b: v128): v128 { return f32x4.min(a, b); }
  @inline lanes(v: v128): f32 { return minLanes(v); }
}

/** Rows that are added in f32 before their sum joins the total: keeps rounding errors of long sums small. */
// @ts-ignore: decorator
@inline
const CHUNK: usize = 256;

/** One contiguous row: sixteen partial sums, in chunks. */
// @ts-ignore: decorator
@inline
function row<F>(x: usize, length: usize): f32 {
  const start = splat(op<F>().start());
  let total = start;
  while (length >= 16) {
    const size = min(length, 16 * CHUNK) & ~15;
    const end = x + (size << 2);
    let s0 = start;
    let s1 = start;
    let s2 = start;
    let s3 = start;
    while (x < end) {
      s0 = op<F>().f(s0, v128.load(x));
      s1 = op<F>().f(s1, v128.load(x, 16));
      s2 = op<F>().f(s2, v128.load(x, 32));
      s3 = op<F>().f(s3, v128.load(x, 48));
      x += 64;
    }
    total = op<F>().f(total, op<F>().f(op<F>().f(s0, s1), op<F>().f(s2, s3)));
    length -= size;
  }
  while (length >= 4) {
    total = op<F>().f(total, v128.load(x));
    x += 16;
    length -= 4;
  }
  if (length) total = op<F>().f(total, loadTail(x, length, start));
  return op<F>().lanes(total);
}

/** Columns j.. of one [length, inner] matrix; `vectors` x 4 columns at once. */
// @ts-ignore: decorator
@inline
function columns16<F>(out: usize, x: usize, length: usize, stride: usize): void {
  const start = splat(op<F>().start());
  let t0 = start;
  let t1 = start;
  let t2 = start;
  let t3 = start;
  while (length) {
    const size = min(length, CHUNK);
    let s0 = start;
    let s1 = start;
    let s2 = start;
    let s3 = start;
    for (let l: usize = 0; l < size; l++) {
      s0 = op<F>().f(s0, v128.load(x));
      s1 = op<F>().f(s1, v128.load(x, 16));
      s2 = op<F>().f(s2, v128.load(x, 32));
      s3 = op<F>().f(s3, v128.load(x, 48));
      x += stride;
    }
    t0 = op<F>().f(t0, s0);
    t1 = op<F>().f(t1, s1);
    t2 = op<F>().f(t2, s2);
    t3 = op<F>().f(t3, s3);
    length -= size;
  }
  v128.store(out, t0);
  v128.store(out, t1, 16);
  v128.store(out, t2, 32);
  v128.store(out, t3, 48);
}

// @ts-ignore: decorator
@inline
function columns4<F>(out: usize, x: usize, length: usize, stride: usize): void {
  const start = splat(op<F>().start());
  let total = start;
  while (length) {
    const size = min(length, CHUNK);
    let s = start;
    for (let l: usize = 0; l < size; l++) {
      s = op<F>().f(s, v128.load(x));
      x += stride;
    }
    total = op<F>().f(total, s);
    length -= size;
  }
  v128.store(out, total);
}

// @ts-ignore: decorator
@inline
function column<F>(out: usize, x: usize, length: usize, stride: usize): void {
  const start = splat(op<F>().start());
  let total = start;
  while (length) {
    const size = min(length, CHUNK);
    let s = start;
    for (let l: usize = 0; l < size; l++) {
      s = op<F>().f(s, v128.load32_splat(x));
      x += stride;
    }
    total = op<F>().f(total, s);
    length -= size;
  }
  v128.store_lane<u32>(out, total, 0);
}

// @ts-ignore: decorator
@inline
function reduce<F>(out: usize, x: usize, outer: usize, length: usize, inner: usize): void {
  const stride = inner << 2;
  for (let i: usize = 0; i < outer; i++) {
    if (inner == 1) {
      store<f32>(out, row<F>(x, length));
    } else {
      let j: usize = 0;
      for (; j + 16 <= inner; j += 16) columns16<F>(out + (j << 2), x + (j << 2), length, stride);
      for (; j + 4 <= inner; j += 4) columns4<F>(out + (j << 2), x + (j << 2), length, stride);
      for (; j < inner; j++) column<F>(out + (j << 2), x + (j << 2), length, stride);
    }
    out += stride;
    x += length * stride;
  }
}

export function reduceSum(out: usize, x: usize, outer: usize, length: usize, inner: usize): void {
  reduce<Sum>(out, x, outer, length, inner);
}

export function reduceMean(out: usize, x: usize, outer: usize, length: usize, inner: usize): void {
  reduceSum(out, x, outer, length, inner);
  const n = splat(<f32>length);
  const count = outer * inner;
  const end = out + ((count & ~3) << 2);
  while (out < end) {
    v128.store(out, f32x4.div(v128.load(out), n));
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, f32x4.div(loadTail(out, rest, n), n));
}

export function reduceMax(out: usize, x: usize, outer: usize, length: usize, inner: usize): void {
  reduce<Max>(out, x, outer, length, inner);
}

export function reduceMin(out: usize, x: usize, outer: usize, length: usize, inner: usize): void {
  reduce<Min>(out, x, outer, length, inner);
}

/** f64: *out = sum of x; eight partial sums. */
export function sumF64(out: usize, x: usize, count: usize): void {
  let s0 = f64x2.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  const end = x + ((count & ~7) << 2);
  while (x < end) {
    const a = v128.load(x);
    const b = v128.load(x, 16);
    s0 = f64x2.add(s0, f64x2.promote_low_f32x4(a));
    s1 = f64x2.add(s1, promoteHigh(a));
    s2 = f64x2.add(s2, f64x2.promote_low_f32x4(b));
    s3 = f64x2.add(s3, promoteHigh(b));
    x += 32;
  }
  const s = f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3));
  let sum = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
  for (let rest = count & 7; rest; rest--) {
    sum += <f64>load<f32>(x);
    x += 4;
  }
  store<f64>(out, sum);
}

/** f64: *out = sum of x[i] * weight[i] (the products are exact in f64). */
export function dotF64(out: usize, x: usize, weight: usize, count: usize): void {
  let s0 = f64x2.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  const end = x + ((count & ~7) << 2);
  while (x < end) {
    const a = v128.load(x);
    const b = v128.load(x, 16);
    const c = v128.load(weight);
    const d = v128.load(weight, 16);
    s0 = f64x2.add(s0, f64x2.mul(f64x2.promote_low_f32x4(a), f64x2.promote_low_f32x4(c)));
    s1 = f64x2.add(s1, f64x2.mul(promoteHigh(a), promoteHigh(c)));
    s2 = f64x2.add(s2, f64x2.mul(f64x2.promote_low_f32x4(b), f64x2.promote_low_f32x4(d)));
    s3 = f64x2.add(s3, f64x2.mul(promoteHigh(b), promoteHigh(d)));
    x += 32;
    weight += 32;
  }
  const s = f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3));
  let sum = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
  for (let rest = count & 7; rest; rest--) {
    sum += <f64>load<f32>(x) * <f64>load<f32>(weight);
    x += 4;
    weight += 4;
  }
  store<f64>(out, sum);
}
