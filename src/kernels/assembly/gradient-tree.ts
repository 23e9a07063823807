/** What happens to gradients between backward pass and optimizer: the gradient tree and the norm. */
import { loadTail, madd, promoteHigh, splat, storeTail } from './simd';

/** out = a + b */
export function addPartials(out: usize, a: usize, b: usize, count: usize): void {
  const wide = a + ((count & ~15) << 2);
  while (a < wide) {
    const y0 = f32x4.add(v128.load(a), v128.load(b));
    const y1 = f32x4.add(v128.load(a, 16), v128.load(b, 16));
    const y2 = f32x4.add(v128.load(a, 32), v128.load(b, 32));
    const y3 = f32x4.add(v128.load(a, 48), v128.load(b, 48));
    v128.store(out, y0);
    v128.store(out, y1, 16);
    v128.store(out, y2, 32);
    v128.store(out, y3, 48);
    a += 64;
    b += 64;
    out += 64;
  }
  const end = a + ((count & 15) << 2);
  while (a < end) {
    store<f32>(out, load<f32>(a) + load<f32>(b));
    a += 4;
    b += 4;
    out += 4;
  }
}

/** out = (a + b) + (c + d) */
export function addPartials4(out: usize, a: usize, b: usize, c: usize, d: usize, count: usize): void {
  const wide = a + ((count & ~7) << 2);
  while (a < wide) {
    const y0 = f32x4.add(f32x4.add(v128.load(a), v128.load(b)), f32x4.add(v128.load(c), v128.load(d)));
    const y1 = f32x4.add(
      f32x4.add(v128.load(a, 16), v128.load(b, 16)),
      f32x4.add(v128.load(c, 16), v128.load(d, 16)),
    );
    v128.store(out, y0);
    v128.store(out, y1, 16);
    a += 32;
    b += 32;
    c += 32;
    d += 32;
    out += 32;
  }
  const end = a + ((count & 7) << 2);
  while (a < end) {
    store<f32>(out, load<f32>(a) + load<f32>(b) + (load<f32>(c) + load<f32>(d)));
    a += 4;
    b += 4;
    c += 4;
    d += 4;
    out += 4;
  }
}

/** Squares are added in f32 within chunks of this many elements, in f64 across chunks. */
// @ts-ignore: decorator
@inline
const CHUNK: usize = 256;

/**
 * Sum of squares. Fast in f32 chunks; where these overflow, underflow or meet NaN, all is computed again in f64, so that
 * the result is right for any finite x and says NaN or infinity only if an element is.
 */
export function squaredNorm(x: usize, count: usize): f64 {
  let total: f64 = 0;
  let p = x;
  let left = count;
  while (left) {
    const size = min(left, CHUNK);
    const end = p + ((size & ~15) << 2);
    let s0 = splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    while (p < end) {
      const v0 = v128.load(p);
      const v1 = v128.load(p, 16);
      const v2 = v128.load(p, 32);
      const v3 = v128.load(p, 48);
      s0 = madd(v0, v0, s0);
      s1 = madd(v1, v1, s1);
      s2 = madd(v2, v2, s2);
      s3 = madd(v3, v3, s3);
      p += 64;
    }
    for (let rest = size & 15; rest; ) {
      const n = min<usize>(rest, 4);
      const v = n == 4 ? v128.load(p) : loadTail(p, n, splat(0));
      s0 = madd(v, v, s0);
      p += n << 2;
      rest -= n;
    }
    const low = f64x2.add(
      f64x2.add(f64x2.promote_low_f32x4(s0), f64x2.promote_low_f32x4(s1)),
      f64x2.add(f64x2.promote_low_f32x4(s2), f64x2.promote_low_f32x4(s3)),
    );
    const high = f64x2.add(
      f64x2.add(promoteHigh(s0), promoteHigh(s1)),
      f64x2.add(promoteHigh(s2), promoteHigh(s3)),
    );
    const s = f64x2.add(low, high);
    total += f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
    left -= size;
  }
  if (total > 1e-24 && total < f64.POSITIVE_INFINITY) return total;
  return squaredNormF64(x, count);
}

function squaredNormF64(x: usize, count: usize): f64 {
  let s0 = f64x2.splat(0);
  let s1 = s0;
  const end = x + ((count & ~3) << 2);
  while (x < end) {
    const v = v128.load(x);
    const low = f64x2.promote_low_f32x4(v);
    const high = promoteHigh(v);
    s0 = f64x2.add(s0, f64x2.mul(low, low));
    s1 = f64x2.add(s1, f64x2.mul(high, high));
    x += 16;
  }
  const s = f64x2.add(s0, s1);
  let total = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
  for (let rest = count & 3; rest; rest--) {
    const v = <f64>load<f32>(x);
    total += v * v;
    x += 4;
  }
  return total;
}
