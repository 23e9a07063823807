/**
 * Normalisation by channel of x [outer, channels, inner]. Sums are in f64, where squares of f32 are exact: the variance is
 * (sum of squares - sum * mean) / n without loss unless the mean is a million times the deviation. Their order depends on the
 * shape only.
 */
import { loadTail, madd, promoteHigh, storeTail } from './simd';

/** Bytes of x that are read channels by channels before the next rows: they stay in the first-level cache. */
// @ts-ignore: decorator
@inline
const CHUNK_BYTES: usize = 16384;

/** f64 out[0..channels) = sum of a, [channels..2 channels) = sum of a * b, out[2 channels] = elements of a channel. */
export function channelSums(out: usize, a: usize, b: usize, outer: usize, channels: usize, inner: usize): void {
  memory.fill(out, 0, channels << 4);
  const products = out + (channels << 3);
  if (inner == 1) sumColumns(out, products, a, b, outer, channels);
  else {
    for (let o: usize = 0; o < outer; o++) {
      for (let c: usize = 0; c < channels; c++) {
        sumRun(out + (c << 3), products + (c << 3), a, b, inner);
        a += inner << 2;
        b += inner << 2;
      }
    }
  }
  store<f64>(out + (channels << 4), <f64>outer * <f64>inner);
}

/** Columns of [rows, channels], eight at a time. */
function sumColumns(sums: usize, products: usize, a: usize, b: usize, rows: usize, channels: usize): void {
  const stride = channels << 2;
  const most = max<usize>(1, CHUNK_BYTES / stride);
  while (rows) {
    const chunk = min(rows, most);
    let c: usize = 0;
    for (; c + 8 <= channels; c += 8) sumEight(sums + (c << 3), products + (c << 3), a + (c << 2), b + (c << 2), chunk, stride);
    for (; c < channels; c++) {
      let sum = load<f64>(sums + (c << 3));
      let product = load<f64>(products + (c << 3));
      let at = c << 2;
      for (let r: usize = 0; r < chunk; r++) {
        const x = <f64>load<f32>(a + at);
        sum += x;
        product += x * <f64>load<f32>(b + at);
        at += stride;
      }
      store<f64>(sums + (c << 3), sum);
      store<f64>(products + (c << 3), product);
    }
    a += chunk * stride;
    b += chunk * stride;
    rows -= chunk;
  }
}

function sumEight(sums: usize, products: usize, a: usize, b: usize, rows: usize, stride: usize): void {
  let s0 = v128.load(sums);
  let s1 = v128.load(sums, 16);
  let s2 = v128.load(sums, 32);
  let s3 = v128.load(sums, 48);
  let p0 = v128.load(products);
  let p1 = v128.load(products, 16);
  let p2 = v128.load(products, 32);
  let p3 = v128.load(products, 48);
  for (let r: usize = 0; r < rows; r++) {
    const x = v128.load(a);
    const y = v128.load(b);
    const z = v128.load(a, 16);
    const w = v128.load(b, 16);
    const x0 = f64x2.promote_low_f32x4(x);
    const x1 = promoteHigh(x);
    const x2 = f64x2.promote_low_f32x4(z);
    const x3 = promoteHigh(z);
    s0 = f64x2.add(s0, x0);
    s1 = f64x2.add(s1, x1);
    s2 = f64x2.add(s2, x2);
    s3 = f64x2.add(s3, x3);
    p0 = f64x2.add(p0, f64x2.mul(x0, f64x2.promote_low_f32x4(y)));
    p1 = f64x2.add(p1, f64x2.mul(x1, promoteHigh(y)));
    p2 = f64x2.add(p2, f64x2.mul(x2, f64x2.promote_low_f32x4(w)));
    p3 = f64x2.add(p3, f64x2.mul(x3, promoteHigh(w)));
    a += stride;
    b += stride;
  }
  v128.store(sums, s0);
  v128.store(sums, s1, 16);
  v128.store(sums, s2, 32);
  v128.store(sums, s3, 48);
  v128.store(products, p0);
  v128.store(products, p1, 16);
  v128.store(products, p2, 32);
  v128.store(products, p3, 48);
}

/** Adds one stretch of a channel. */
function sumRun(sums: usize, products: usize, a: usize, b: usize, count: usize): void {
  let s0 = f64x2.splat(0);
  let s1 = s0;
  let p0 = s0;
  let p1 = s0;
  const end = a + ((count & ~3) << 2);
  while (a < end) {
    const x = v128.load(a);
    const y = v128.load(b);
    const x0 = f64x2.promote_low_f32x4(x);
    const x1 = promoteHigh(x);
    s0 = f64x2.add(s0, x0);
    s1 = f64x2.add(s1, x1);
    p0 = f64x2.add(p0, f64x2.mul(x0, f64x2.promote_low_f32x4(y)));
    p1 = f64x2.add(p1, f64x2.mul(x1, promoteHigh(y)));
    a += 16;
    b += 16;
  }
  const s = f64x2.add(s0, s1);
  const p = f64x2.add(p0, p1);
  let sum = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
  let product = f64x2.extract_lane(p, 0) + f64x2.extract_lane(p, 1);
  for (let rest = count & 3; rest; rest--) {
    const x = <f64>load<f32>(a);
    sum += x;
    product += x * <f64>load<f32>(b);
    a += 4;
    b += 4;
  }
  store<f64>(sums, load<f64>(sums) + sum);
  store<f64>(products, load<f64>(products) + product);
}

// @ts-ignore: decorator
@inline
function meanOf(moments: usize, channels: usize, c: usize): f64 {
  return load<f64>(moments + (c << 3)) / load<f64>(moments + (channels << 4));
}

/** 1 / sqrt(variance + epsilon), the variance not unbiased. */
// @ts-ignore: decorator
@inline
function inverseDeviation(moments: usize, channels: usize, c: usize, epsilon: f64): f64 {
  const mean = meanOf(moments, channels, c);
  const squares = load<f64>(moments + (channels << 3) + (c << 3)) / load<f64>(moments + (channels << 4));
  return 1 / sqrt<f64>(max<f64>(squares - mean * mean, 0) + epsilon);
}

/** out = (x - mean) * inverse deviation * gamma + beta, with the moments that channelSums(x, x) gives. `scratch`: 3 channels. */
export function batchNorm(
  out: usize, x: usize, gamma: usize, beta: usize, moments: usize, outer: usize, channels: usize, inner: usize, epsilon: f64, scratch: usize,
): void {
  const scale = scratch + (channels << 2);
  for (let c: usize = 0; c < channels; c++) {
    const r = inverseDeviation(moments, channels, c, epsilon);
    store<f32>(scratch + (c << 2), <f32>meanOf(moments, channels, c));
    store<f32>(scale + (c << 2), <f32>(r * <f64>load<f32>(gamma + (c << 2))));
  }
  normalise(out, x, scratch, scale, beta, outer, channels, inner);
}

/** The same with a given mean and variance. */
export function batchNormInference(
  out: usize, x: usize, gamma: usize, beta: usize, mean: usize, variance: usize, outer: usize, channels: usize, inner: usize, epsilon: f64,
  scratch: usize,
): void {
  for (let c: usize = 0; c < channels; c++) {
    const r = 1 / sqrt<f64>(<f64>load<f32>(variance + (c << 2)) + epsilon);
    store<f32>(scratch + (c << 2), <f32>(r * <f64>load<f32>(gamma + (c << 2))));
  }
  normalise(out, x, mean, scratch, beta, outer, channels, inner);
}

/** out = (x - mean) * scale + shift, by channel. */
function normalise(
  out: usize, x: usize, mean: usize, scale: usize, shift: usize, outer: usize, channels: usize, inner: usize,
): void {
  const zero = f32x4.splat(0);
  if (inner == 1) {
    const whole = (channels & ~3) << 2;
    const rest = channels & 3;
    for (let o: usize = 0; o < outer; o++) {
      let at: usize = 0;
      for (; at < whole; at += 16) {
        const centred = f32x4.sub(v128.load(x + at), v128.load(mean + at));
        v128.store(out + at, madd(centred, v128.load(scale + at), v128.load(shift + at)));
      }
      if (rest) {
        const centred = f32x4.sub(loadTail(x + at, rest, zero), loadTail(mean + at, rest, zero));
        storeTail(out + at, rest, madd(centred, loadTail(scale + at, rest, zero), loadTail(shift + at, rest, zero)));
      }
      x += channels << 2;
      out += channels << 2;
    }
    return;
  }
  const whole = (inner & ~3) << 2;
  const rest = inner & 3;
  for (let o: usize = 0; o < outer; o++) {
    for (let c: usize = 0; c < channels << 2; c += 4) {
      const m = v128.load32_splat(mean + c);
      const a = v128.load32_splat(scale + c);
      const b = v128.load32_splat(shift + c);
      let at: usize = 0;
      for (; at < whole; at += 16) v128.store(out + at, madd(f32x4.sub(v128.load(x + at), m), a, b));
      if (rest) storeTail(out + at, rest, madd(f32x4.sub(loadTail(x + at, rest, zero), m), a, b));
      x += inner << 2;
      out += inner << 2;
    }
  }
}

/**
 * Gradient of batchNorm by x: g r (dy - mean(dy) - xhat mean(dy xhat)), with r the inverse deviation and xhat the normalised x.
 * `sums` are those that channelSums(dy, x) gives. `scratch`: 4 channels.
 */
export function batchNormGrad(
  out: usize, x: usize, dy: usize, gamma: usize, moments: usize, sums: usize, outer: usize, channels: usize, inner: usize, epsilon: f64,
  scratch: usize,
): void {
  const bytes = channels << 2;
  const a = scratch + bytes;
  const b = a + bytes;
  const shift = b + bytes;
  for (let c: usize = 0; c < channels; c++) {
    const n = load<f64>(moments + (channels << 4));
    const mean = meanOf(moments, channels, c);
    const r = inverseDeviation(moments, channels, c, epsilon);
    const g = r * <f64>load<f32>(gamma + (c << 2));
    const sum = load<f64>(sums + (c << 3));
    const product = r * (load<f64>(sums + (channels << 3) + (c << 3)) - mean * sum); // of dy and xhat
    store<f32>(scratch + (c << 2), <f32>mean);
    store<f32>(a + (c << 2), <f32>g);
    store<f32>(b + (c << 2), <f32>((-g * r * product) / n));
    store<f32>(shift + (c << 2), <f32>((-g * sum) / n));
  }
  const zero = f32x4.splat(0);
  if (inner == 1) {
    const whole = (channels & ~3) << 2;
    const rest = channels & 3;
    for (let o: usize = 0; o < outer; o++) {
      let at: usize = 0;
      for (; at < whole; at += 16) {
        const centred = f32x4.sub(v128.load(x + at), v128.load(scratch + at));
        const sum = madd(centred, v128.load(b + at), v128.load(shift + at));
        v128.store(out + at, madd(v128.load(dy + at), v128.load(a + at), sum));
      }
      if (rest) {
        const centred = f32x4.sub(loadTail(x + at, rest, zero), loadTail(scratch + at, rest, zero));
        const sum = madd(centred, loadTail(b + at, rest, zero), loadTail(shift + at, rest, zero));
        storeTail(out + at, rest, madd(loadTail(dy + at, rest, zero), loadTail(a + at, rest, zero), sum));
      }
      x += bytes;
      dy += bytes;
      out += bytes;
    }
    return;
  }
  const whole = (inner & ~3) << 2;
  const rest = inner & 3;
  for (let o: usize = 0; o < outer; o++) {
    for (let c: usize = 0; c < bytes; c += 4) {
      const m = v128.load32_splat(scratch + c);
      const va = v128.load32_splat(a + c);
      const vb = v128.load32_splat(b + c);
      const vs = v128.load32_splat(shift + c);
      let at: usize = 0;
      for (; at < whole; at += 16) {
        const sum = madd(f32x4.sub(v128.load(x + at), m), vb, vs);
        v128.store(out + at, madd(v128.load(dy + at), va, sum));
      }
      if (rest) {
        const sum = madd(f32x4.sub(loadTail(x + at, rest, zero), m), vb, vs);
        storeTail(out + at, rest, madd(loadTail(dy + at, rest, zero), va, sum));
      }
      x += inner << 2;
      dy += inner << 2;
      out += inner << 2;
    }
  }
}

/** Gradients of batchNorm by gamma (`which` 0: sum of dy xhat) or beta (1: sum of dy), from the sums above. */
export function batchNormParameterGrad(
  out: usize, moments: usize, sums: usize, channels: usize, epsilon: f64, which: i32,
): void {
  for (let c: usize = 0; c < channels; c++) {
    let value = load<f64>(sums + (c << 3));
    if (which == 0) {
      const product = load<f64>(sums + (channels << 3) + (c << 3));
      value = inverseDeviation(moments, channels, c, epsilon) * (product - meanOf(moments, channels, c) * value);
    }
    store<f32>(out + (c << 2), <f32>value);
  }
}
