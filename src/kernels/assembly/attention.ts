/**
 * The softmax of attention and its gradient, over score matrices [batch, heads, queries, keys]. Under a causal mask query i sees keys
 * 0 to i; the scores of `block` queries are computed together, so a row is defined up to the end of its block and is 0 there.
 */
import { exp4 } from './exp-log';
import { loadTail, madd, maxLanes, select, splat, storeTail, sumLanes } from './simd';

/** Keys that query i sees. */
// @ts-ignore: decorator
@inline
function visible(i: usize, keys: usize, causal: i32): usize {
  return causal ? min(i + 1, keys) : keys;
}

/** End of what is defined of row i. */
// @ts-ignore: decorator
@inline
function definedEnd(i: usize, keys: usize, causal: i32, block: usize): usize {
  return causal ? min((i / block + 1) * block, keys) : keys;
}

/**
 * The length of row i as it is computed: up to the next whole vector, if that is defined. In place only, because what lies between
 * is written: to `pad`, so that it counts for nothing.
 */
// @ts-ignore: decorator
@inline
function padded(row: usize, n: usize, end: usize, pad: f32): usize {
  const whole = (n + 3) & ~3;
  if (whole > end) return n;
  for (let j = n; j < whole; j++) store<f32>(row + (j << 2), pad);
  return whole;
}

/** Writes x where mask is not 0, else -infinity. */
function maskRow(out: usize, x: usize, mask: usize, n: usize): void {
  const lowest = splat(-f32.POSITIVE_INFINITY);
  const end = x + ((n & ~3) << 2);
  while (x < end) {
    v128.store(out, select(f32x4.ne(v128.load(mask), splat(0)), v128.load(x), lowest));
    x += 16;
    out += 16;
    mask += 16;
  }
  const rest = n & 3;
  if (rest) {
    const kept = f32x4.ne(loadTail(mask, rest, splat(0)), splat(0));
    storeTail(out, rest, select(kept, loadTail(x, rest, lowest), lowest));
  }
}

/** out = softmax(scale x) by row; a row whose keys are all masked is 0. mask [batch, keys] is optional; in place allowed. */
export function attentionSoftmax(
  out: usize, x: usize, mask: usize, batch: usize, heads: usize, queries: usize, keys: usize, scale: f32, causal: i32,
  block: usize,
): void {
  const stride = keys << 2;
  const factor = splat(scale);
  const lowest = splat(-f32.POSITIVE_INFINITY);
  for (let matrix: usize = 0; matrix < batch * heads; matrix++) {
    const own = mask ? mask + (matrix / heads) * stride : 0;
    for (let i: usize = 0; i < queries; i++) {
      const end = definedEnd(i, keys, causal, block);
      let n = visible(i, keys, causal);
      if (out == x && !own) n = padded(x, n, end, -f32.POSITIVE_INFINITY);
      const vectors = (n & ~3) << 2;
      const rest = n & 3;
      let from = x;
      if (own) {
        maskRow(out, x, own, n);
        from = out;
      }
      let m = lowest;
      for (let j: usize = 0; j < vectors; j += 16) m = f32x4.pmax(m, v128.load(from + j));
      if (rest) m = f32x4.pmax(m, loadTail(from + vectors, rest, lowest));
      const largest = maxLanes(m);
      if (largest == -f32.POSITIVE_INFINITY) {
        memory.fill(out, 0, n << 2);
      } else {
        const shift = splat(largest);
        let sum = splat(0);
        for (let j: usize = 0; j < vectors; j += 16) {
          const e = exp4(f32x4.mul(f32x4.sub(v128.load(from + j), shift), factor));
          v128.store(out + j, e);
          sum = f32x4.add(sum, e);
        }
        if (rest) {
          const e = exp4(f32x4.mul(f32x4.sub(loadTail(from + vectors, rest, lowest), shift), factor));
          storeTail(out + vectors, rest, e);
          sum = f32x4.add(sum, e);
        }
        const inverse = splat(1 / sumLanes(sum));
        for (let j: usize = 0; j < vectors; j += 16) v128.store(out + j, f32x4.mul(v128.load(out + j), inverse));
        if (rest) {
          const p = out + vectors;
          storeTail(p, rest, f32x4.mul(loadTail(p, rest, lowest), inverse));
        }
      }
      if (end > n) memory.fill(out + (n << 2), 0, (end - n) << 2);
      out += stride;
      x += stride;
    }
  }
}

/** out = scale p (dp - sum(p dp)) by row, p = attentionSoftmax; in place allowed. */
export function attentionSoftmaxGrad(
  out: usize, p: usize, dp: usize, batch: usize, heads: usize, queries: usize, keys: usize, scale: f32, causal: i32,
  block: usize,
): void {
  const stride = keys << 2;
  const factor = splat(scale);
  for (let matrix: usize = 0; matrix < batch * heads; matrix++) {
    for (let i: usize = 0; i < queries; i++) {
      const end = definedEnd(i, keys, causal, block);
      const seen = visible(i, keys, causal);
      const n = out == dp ? padded(dp, seen, end, 0) : seen;
      const vectors = (n & ~3) << 2;
      const rest = n & 3;
      let sum = splat(0);
      for (let j: usize = 0; j < vectors; j += 16) sum = madd(v128.load(p + j), v128.load(dp + j), sum);
      if (rest) {
        sum = madd(loadTail(p + vectors, rest, splat(0)), loadTail(dp + vectors, rest, splat(0)), sum);
      }
      const dot = splat(sumLanes(sum));
      for (let j: usize = 0; j < vectors; j += 16) {
        const d = f32x4.sub(v128.load(dp + j), dot);
        v128.store(out + j, f32x4.mul(f32x4.mul(v128.load(p + j), factor), d));
      }
      if (rest) {
        const d = f32x4.sub(loadTail(dp + vectors, rest, dot), dot);
        storeTail(out + vectors, rest, f32x4.mul(f32x4.mul(loadTail(p + vectors, rest, dot), factor), d));
      }
      if (end > seen) memory.fill(out + (seen << 2), 0, (end - seen) << 2);
      out += stride;
      p += stride;
      dp += stride;
    }
  }
}
