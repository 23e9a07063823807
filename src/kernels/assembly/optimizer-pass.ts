/**
 * What fused optimizer passes are built from: one pass over parameter, gradient and up to four slots, in place. Scalars are f64
 * in memory, in the order that src/optim writes; differences such as 1 - beta are taken in f64, then all is f32.
 */
import { loadTail, madd, op, splat, storeTail } from './simd';

// @ts-ignore: decorator
@inline
export function scalar(scalars: usize, index: usize): v128 {
  return splat(<f32>load<f64>(scalars + (index << 3)));
}

/** 1 - scalar */
// @ts-ignore: decorator
@inline
export function complement(scalars: usize, index: usize): v128 {
  return splat(<f32>(1.0 - load<f64>(scalars + (index << 3))));
}

/** A vector of an operand; n = 4 or the length of the tail. */
// @ts-ignore: decorator
@inline
export function read(p: usize, n: usize): v128 {
  return n == 4 ? v128.load(p) : loadTail(p, n, splat(0));
}

// @ts-ignore: decorator
@inline
export function write(p: usize, n: usize, v: v128): void {
  if (n == 4) v128.store(p, v);
  else storeTail(p, n, v);
}

/** gradScale * grad + l2 * param */
// @ts-ignore: decorator
@inline
export function gradient(grad: v128, param: v128, gradScale: v128, l2: v128): v128 {
  return madd(l2, param, f32x4.mul(gradScale, grad));
}

/** -1, 0 or 1 */
// @ts-ignore: decorator
@inline
export function sign(x: v128): v128 {
  const one = v128.or(v128.and(x, splat(-0.0)), splat(1.0));
  return v128.and(one, f32x4.ne(x, splat(0)));
}

/** Bytes of parameters that are taken ahead of the pass over them: well within the first-level cache, with gradient and slots. */
// @ts-ignore: decorator
@inline
const AHEAD: usize = 4096;

/**
 * Makes the lines from p to `end` this core's own, by writing to each what it holds. All cores have read the parameters, and a
 * core's stores leave in order: where each line has to be taken back from the others, a store that is alone among arithmetic
 * and stores to slots waits a whole round trip between cores. Stores that follow one another wait for theirs together.
 */
// @ts-ignore: decorator
@inline
function own(p: usize, end: usize): void {
  for (; p < end; p += 64) store<u32>(p, load<u32>(p));
}

/**
 * Each rule is a class with `step`, written once over the addresses of four elements; this gives it whole vectors, then a
 * tail. Rules take the constants that they need of c0 .. c13; the others cost nothing once inlined.
 */
// @ts-ignore: decorator
@inline
export function pass<F>(
  p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, count: usize,
  c0: v128, c1: v128, c2: v128, c3: v128, c4: v128, c5: v128, c6: v128, c7: v128, c8: v128, c9: v128, c10: v128,
  c11: v128, c12: v128, c13: v128,
): void {
  const wide = p + ((count & ~7) << 2);
  while (p < wide) {
    const end = min(p + AHEAD, wide);
    own(p, end);
    while (p < end) {
      op<F>().step(p, g, s0, s1, s2, s3, 4, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13);
      op<F>().step(
        p + 16, g + 16, s0 + 16, s1 + 16, s2 + 16, s3 + 16, 4, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13,
      );
      p += 32;
      g += 32;
      s0 += 32;
      s1 += 32;
      s2 += 32;
      s3 += 32;
    }
  }
  if (count & 4) {
    op<F>().step(p, g, s0, s1, s2, s3, 4, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13);
    p += 16;
    g += 16;
    s0 += 16;
    s1 += 16;
    s2 += 16;
    s3 += 16;
  }
  const rest = count & 3;
  if (rest) op<F>().step(p, g, s0, s1, s2, s3, rest, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13);
}
