/**
 * Philox4x32-10: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 * Four counters are computed at once, one in each lane; element e of a stream is word e % 4 of counter e / 4.
 */
import { log4 } from './exp-log';
import { constant, op, splat } from './simd';

/** Sine (0-2) and cosine (3-5) on an eighth of a turn, from Cephes. 6: 2 pi. 7: 2^-24. */
const WAVE = memory.data<f32>([
  -1.9515295891e-4, 8.3321608736e-3, 1.6666654611e-1, 2.443315711809948e-5, 1.388731625493765e-3, 4.166664568298827e-2,
  6.283185307179586, 5.9604644775390625e-8,
]);

/** 0, 1: factors. 2, 3: what the keys grow by each round. */
const PHILOX = memory.data<u32>([0xd2511f53, 0xcd9e8d57, 0x9e3779b9, 0xbb67ae85]);

/** Random words as f32 in [0, 1): the upper 24 bits. */
// @ts-ignore: decorator
@inline
function uniform4(words: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_u(words, 8)), constant(WAVE, 7));
}

/** x where a uniform number reaches the rate: p = ceil(rate * 2^24) as integer lanes, q = 1 / (1 - rate). */
class Dropout {
  @inline reads(): bool { return true; }
  @inline four(words: v128, x: v128, p: v128, q: v128): v128 {
    return v128.and(f32x4.mul(x, q), i32x4.ge_s(i32x4.shr_u(words, 8), p));
  }
}

/** p + q * uniform */
class Uniform {
  @inline reads(): bool { return false; }
  @inline four(words: v128, x: v128, p: v128, q: v128): v128 {
    return f32x4.add(p, f32x4.mul(q, uniform4(words)));
  }
}

/**
 * p + q * normal, by Box and Muller: lanes (0, 1) and (2, 3) are sqrt(-2 log(1 - u)) times cos and sin of 2 pi v. The angle
 * is reduced to an eighth of a turn exactly; polynomials from Cephes.
 */
class Normal {
  @inline reads(): bool { return false; }
  @inline four(words: v128, x: v128, p: v128, q: v128): v128 {
    const u = uniform4(words);
    const radius = f32x4.sqrt(f32x4.mul(splat(-2.0), log4(f32x4.sub(splat(1.0), u))));
    const turn = v128.shuffle<u32>(u, u, 1, 1, 3, 3);
    const n = f32x4.nearest(f32x4.mul(turn, splat(4.0)));
    const r = f32x4.mul(f32x4.sub(turn, f32x4.mul(n, splat(0.25))), constant(WAVE, 6));
    const z = f32x4.mul(r, r);
    let sin = f32x4.add(f32x4.mul(constant(WAVE, 0), z), constant(WAVE, 1));
    sin = f32x4.sub(f32x4.mul(sin, z), constant(WAVE, 2));
    sin = f32x4.add(f32x4.mul(f32x4.mul(sin, z), r), r);
    let cos = f32x4.sub(f32x4.mul(constant(WAVE, 3), z), constant(WAVE, 4));
    cos = f32x4.add(f32x4.mul(cos, z), constant(WAVE, 5));
    cos = f32x4.add(f32x4.sub(f32x4.mul(f32x4.mul(cos, z), z), f32x4.mul(splat(0.5), z)), splat(1.0));
    const quadrant = i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4(1, 0, 1, 0));
    const odd = i32x4.ne(v128.and(quadrant, i32x4.splat(1)), i32x4.splat(0));
    const sign = i32x4.shl(v128.and(quadrant, i32x4.splat(2)), 30);
    const wave = v128.xor(v128.bitselect(cos, sin, odd), sign);
    return f32x4.add(p, f32x4.mul(q, f32x4.mul(v128.shuffle<u32>(radius, radius, 0, 0, 2, 2), wave)));
  }
}

/** Elements lane `from` up to `to` of the four that belong to one counter; `out` and `x` are the address of lane 0. */
function someLanes<F>(out: usize, x: usize, words: v128, p: v128, q: v128, from: i32, to: i32): void {
  let v = splat(0);
  if (op<F>().reads()) {
    if (from <= 0 && to > 0) v = v128.load_lane<u32>(x, v, 0);
    if (from <= 1 && to > 1) v = v128.load_lane<u32>(x, v, 1, 4);
    if (from <= 2 && to > 2) v = v128.load_lane<u32>(x, v, 2, 8);
    if (from <= 3 && to > 3) v = v128.load_lane<u32>(x, v, 3, 12);
  }
  v = op<F>().four(words, v, p, q);
  if (from <= 0 && to > 0) v128.store_lane<u32>(out, v, 0);
  if (from <= 1 && to > 1) v128.store_lane<u32>(out, v, 1, 4);
  if (from <= 2 && to > 2) v128.store_lane<u32>(out, v, 2, 8);
  if (from <= 3 && to > 3) v128.store_lane<u32>(out, v, 3, 12);
}

// @ts-ignore: decorator
@inline
function fourElements<F>(out: usize, x: usize, words: v128, p: v128, q: v128): void {
  v128.store(out, op<F>().four(words, op<F>().reads() ? v128.load(x) : splat(0), p, q));
}

/** Elements first .. first + count - 1 of the stream of (key0, key1) and counter (index, salt, c2, c3). */
// @ts-ignore: decorator
@inline
function stream<F>(
  out: usize, x: usize, count: i32, key0: u32, key1: u32, salt: u32, c2: u32, c3: u32, first: u32, p: v128, q: v128,
): void {
  let index = first >> 2;
  // `out` and `x` are the addresses of element 4 * index, which may lie before the first one wanted.
  let begin = <i32>(first & 3);
  let end = begin + count;
  out -= <usize>begin << 2;
  x -= <usize>begin << 2;
  while (end > 0) {
    let w0 = i32x4.add(i32x4.splat(index), i32x4(0, 1, 2, 3));
    let w1 = i32x4.splat(salt);
    let w2 = i32x4.splat(c2);
    let w3 = i32x4.splat(c3);
    let k0 = i32x4.splat(key0);
    let k1 = i32x4.splat(key1);
    for (let round = 0; round < 10; round++) {
      const factor0 = constant(PHILOX, 0);
      const factor1 = constant(PHILOX, 1);
      // 64-bit products: the high halves are mixed, the low ones move on.
      const low0 = i64x2.extmul_low_i32x4_u(w0, factor0);
      const high0 = i64x2.extmul_high_i32x4_u(w0, factor0);
      const low1 = i64x2.extmul_low_i32x4_u(w2, factor1);
      const high1 = i64x2.extmul_high_i32x4_u(w2, factor1);
      w0 = v128.xor(v128.xor(w1, k0), v128.shuffle<u32>(low1, high1, 1, 3, 5, 7));
      w2 = v128.xor(v128.xor(w3, k1), v128.shuffle<u32>(low0, high0, 1, 3, 5, 7));
      w1 = v128.shuffle<u32>(low1, high1, 0, 2, 4, 6);
      w3 = v128.shuffle<u32>(low0, high0, 0, 2, 4, 6);
      k0 = i32x4.add(k0, constant(PHILOX, 2));
      k1 = i32x4.add(k1, constant(PHILOX, 3));
    }
    // Transposed: one vector a counter.
    const l0 = v128.shuffle<u32>(w0, w1, 0, 4, 1, 5);
    const l1 = v128.shuffle<u32>(w2, w3, 0, 4, 1, 5);
    const h0 = v128.shuffle<u32>(w0, w1, 2, 6, 3, 7);
    const h1 = v128.shuffle<u32>(w2, w3, 2, 6, 3, 7);
    const counter0 = v128.shuffle<u64>(l0, l1, 0, 2);
    const counter1 = v128.shuffle<u64>(l0, l1, 1, 3);
    const counter2 = v128.shuffle<u64>(h0, h1, 0, 2);
    const counter3 = v128.shuffle<u64>(h0, h1, 1, 3);
    if (begin == 0 && end >= 16) {
      fourElements<F>(out, x, counter0, p, q);
      fourElements<F>(out + 16, x + 16, counter1, p, q);
      fourElements<F>(out + 32, x + 32, counter2, p, q);
      fourElements<F>(out + 48, x + 48, counter3, p, q);
    } else {
      someLanes<F>(out, x, counter0, p, q, begin, end);
      someLanes<F>(out + 16, x + 16, counter1, p, q, begin - 4, end - 4);
      someLanes<F>(out + 32, x + 32, counter2, p, q, begin - 8, end - 8);
      someLanes<F>(out + 48, x + 48, counter3, p, q, begin - 12, end - 12);
    }
    begin = 0;
    end -= 16;
    index += 4;
    out += 64;
    x += 64;
  }
}

/** Inverted dropout; `key` points to four i32: seed low, seed high, step, shard. */
export function dropout(out: usize, x: usize, count: i32, rate: f32, key: usize, salt: u32, first: u32): void {
  const threshold = i32x4.splat(<i32>Math.ceil(<f64>rate * 16777216.0));
  const scale = splat(<f32>(1.0 / (1.0 - <f64>rate)));
  stream<Dropout>(
    out, x, count, load<u32>(key), load<u32>(key, 4), salt, load<u32>(key, 8), load<u32>(key, 12), first, threshold, scale,
  );
}

export function randomUniform(
  out: usize, count: i32, key0: u32, key1: u32, salt: u32, c2: u32, c3: u32, first: u32, low: f32, high: f32,
): void {
  stream<Uniform>(out, 0, count, key0, key1, salt, c2, c3, first, splat(low), splat(high - low));
}

export function randomNormal(
  out: usize, count: i32, key0: u32, key1: u32, salt: u32, c2: u32, c3: u32, first: u32, mean: f32, std: f32,
): void {
  stream<Normal>(out, 0, count, key0, key1, salt, c2, c3, first, splat(mean), splat(std));
}
