/** sin, cos and pow of f32 lanes, computed in f64x2: rare in training, so simple and exact to about half an ulp. */
import { constant64, demote, madd64, promoteHigh } from './simd';

/**
 * 0: 1.5 * 2^52, which when added rounds to an integer that then stands in the low bits. 1: 2/pi. 2, 3: pi/2 in two parts.
 * 4-7: (sin(r) - r) / r^3 in r^2, FreeBSD's k_sinf.c. 8-11: (cos(r) - 1) / r^2 in r^2, k_cosf.c.
 */
const TRIG = memory.data<f64>([
  6755399441055744.0, 0.63661977236758134308, 1.5707963109016418457, 1.58932547735281966916e-8,
  0.0000027183114939898219064, -0.000198393348360966317347, 0.0083333293858894631756, -0.166666666416265235595,
  0.0000243904487962774090654, -0.00138867637746099294692, 0.0416666233237390631894, -0.499999997251031003120,
]);

// @ts-ignore: decorator
@inline
function rounder(): v128 {
  return constant64(TRIG, 0);
}

/** sin(r) for |r| <= pi/4. */
// @ts-ignore: decorator
@inline
function sinPolynomial(r: v128): v128 {
  const z = f64x2.mul(r, r);
  let p = madd64(constant64(TRIG, 4), z, constant64(TRIG, 5));
  p = madd64(p, z, constant64(TRIG, 6));
  p = madd64(p, z, constant64(TRIG, 7));
  return madd64(f64x2.mul(p, z), r, r);
}

/** cos(r) for |r| <= pi/4. */
// @ts-ignore: decorator
@inline
function cosPolynomial(r: v128): v128 {
  const z = f64x2.mul(r, r);
  let p = madd64(constant64(TRIG, 8), z, constant64(TRIG, 9));
  p = madd64(p, z, constant64(TRIG, 10));
  p = madd64(p, z, constant64(TRIG, 11));
  return madd64(p, z, f64x2.splat(1.0));
}

/** sin(r + q * pi/2), q in the low bits of the integer lanes. */
// @ts-ignore: decorator
@inline
function sinOfQuadrant(r: v128, q: v128): v128 {
  const odd = i64x2.ne(v128.and(q, i64x2.splat(1)), i64x2.splat(0));
  const sign = i64x2.shl(v128.and(q, i64x2.splat(2)), 62);
  return v128.xor(v128.bitselect(cosPolynomial(r), sinPolynomial(r), odd), sign);
}

/** sin(x + shift * pi/2) of two f64 lanes; |x| below 2^28 (larger lanes are replaced). */
// @ts-ignore: decorator
@inline
function sinPair(x: v128, shift: i64): v128 {
  const rounded = f64x2.add(f64x2.mul(x, constant64(TRIG, 1)), rounder());
  const n = f64x2.sub(rounded, rounder());
  let r = f64x2.sub(x, f64x2.mul(n, constant64(TRIG, 2)));
  r = f64x2.sub(r, f64x2.mul(n, constant64(TRIG, 3)));
  return sinOfQuadrant(r, i64x2.add(rounded, i64x2.splat(shift)));
}

/** 2/pi in 32-bit words after the binary point. */
const TWO_OVER_PI: usize = memory.data<u32>([
  0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561,
]);

/** 32 bits of 2/pi from bit `at` on (bit 0 is worth 1/2). */
function twoOverPi(at: i32): u64 {
  const p = TWO_OVER_PI + (<usize>(at >> 5) << 2);
  const pair = (<u64>load<u32>(p) << 32) | <u64>load<u32>(p, 4);
  return (pair >> (32 - (at & 31))) & 0xffffffff;
}

/** sin(x + shift * pi/2) for finite |x| >= 2^26: Payne and Hanek's reduction, x * 2/pi mod 4 in integers. */
function sinLarge(x: f32, shift: i64): f32 {
  const bits = reinterpret<u32>(x) & 0x7fffffff;
  const exponent = <i32>(bits >> 23) - 150;
  const mantissa = <u64>((bits & 0x7fffff) | 0x800000);
  const at = exponent - 2;
  const low = mantissa * twoOverPi(at + 64);
  const middle = mantissa * twoOverPi(at + 32) + (low >> 32);
  const high = mantissa * twoOverPi(at) + (middle >> 32);
  // Two integer bits of x * 2/pi, then the fraction.
  const top = (high << 32) | (middle & 0xffffffff);
  const fraction = (top << 2) | ((low & 0xffffffff) >> 30);
  let quadrant = <i64>(top >> 62) + <i64>(fraction >> 63);
  let r = <f64>(<i64>fraction) * (1.57079632679489661923 / 18446744073709551616.0);
  if (reinterpret<i32>(x) < 0) {
    quadrant = -quadrant;
    r = -r;
  }
  return <f32>f64x2.extract_lane(sinOfQuadrant(f64x2.splat(r), i64x2.splat(quadrant + shift)), 0);
}

// @ts-ignore: decorator
@inline
function largeLane(x: f32, y: f32, shift: i64): f32 {
  return abs(x) >= 67108864.0 ? (abs(x) < f32.POSITIVE_INFINITY ? sinLarge(x, shift) : f32.NaN) : y;
}

/** sin(x + shift * pi/2): shift 0 is sin, 1 is cos. */
export function sin4(x: v128, shift: i64): v128 {
  let y = demote(sinPair(f64x2.promote_low_f32x4(x), shift), sinPair(promoteHigh(x), shift));
  if (v128.any_true(f32x4.ge(f32x4.abs(x), f32x4.splat(67108864.0)))) y = sinLargeLanes(x, y, shift);
  return y;
}

function sinLargeLanes(x: v128, y: v128, shift: i64): v128 {
  let r = y;
  r = f32x4.replace_lane(r, 0, largeLane(f32x4.extract_lane(x, 0), f32x4.extract_lane(y, 0), shift));
  r = f32x4.replace_lane(r, 1, largeLane(f32x4.extract_lane(x, 1), f32x4.extract_lane(y, 1), shift));
  r = f32x4.replace_lane(r, 2, largeLane(f32x4.extract_lane(x, 2), f32x4.extract_lane(y, 2), shift));
  r = f32x4.replace_lane(r, 3, largeLane(f32x4.extract_lane(x, 3), f32x4.extract_lane(y, 3), shift));
  return r;
}

/** 2 / (ln 2 (2 i + 1)), i = 7 ... 0: the series of log2((1 + s) / (1 - s)) / s in s^2. */
const LOG2 = memory.data<f64>([
  0.19235933878519511, 0.22195308321368667, 0.26230818925253879, 0.32059889797532518, 0.41219858311113239,
  0.57707801635558535, 0.96179669392597556, 2.8853900817779268,
]);

/** log2 of two f64 lanes that hold non-negative f32 values. */
// @ts-ignore: decorator
@inline
function log2Pair(x: v128): v128 {
  // x = m * 2^k, m in [sqrt(1/2), sqrt(2))
  const k = i64x2.shr_s(i64x2.sub(x, i64x2.splat(0x3fe6a09e667f3bcd)), 52);
  const m = i64x2.sub(x, i64x2.shl(k, 52));
  const s = f64x2.div(f64x2.sub(m, f64x2.splat(1)), f64x2.add(m, f64x2.splat(1)));
  const z = f64x2.mul(s, s);
  let p = madd64(constant64(LOG2, 0), z, constant64(LOG2, 1));
  p = madd64(p, z, constant64(LOG2, 2));
  p = madd64(p, z, constant64(LOG2, 3));
  p = madd64(p, z, constant64(LOG2, 4));
  p = madd64(p, z, constant64(LOG2, 5));
  p = madd64(p, z, constant64(LOG2, 6));
  p = madd64(p, z, constant64(LOG2, 7));
  const n = f64x2.sub(i64x2.add(k, rounder()), rounder());
  return madd64(p, s, n);
}

/** 0-6: 1 / n!, n = 9 ... 3. 7: ln 2. */
const EXP2 = memory.data<f64>([
  2.7557319223985893e-6, 2.48015873015873e-5, 1.984126984126984e-4, 1.3888888888888889e-3, 8.3333333333333333e-3,
  4.1666666666666667e-2, 1.6666666666666667e-1, 0.69314718055994530942,
]);

/** 2^t of two f64 lanes, |t| <= 300 or NaN. */
// @ts-ignore: decorator
@inline
function exp2Pair(t: v128): v128 {
  const rounded = f64x2.add(t, rounder());
  const r = f64x2.mul(f64x2.sub(t, f64x2.sub(rounded, rounder())), constant64(EXP2, 7));
  let p = madd64(constant64(EXP2, 0), r, constant64(EXP2, 1));
  p = madd64(p, r, constant64(EXP2, 2));
  p = madd64(p, r, constant64(EXP2, 3));
  p = madd64(p, r, constant64(EXP2, 4));
  p = madd64(p, r, constant64(EXP2, 5));
  p = madd64(p, r, constant64(EXP2, 6));
  p = madd64(p, r, f64x2.splat(0.5));
  p = madd64(p, r, f64x2.splat(1.0));
  p = madd64(p, r, f64x2.splat(1.0));
  return f64x2.mul(p, i64x2.shl(i64x2.add(rounded, i64x2.splat(1023)), 52));
}

/** x^y of two f64 lanes that hold f32 values, with the special values of C's pow. */
// @ts-ignore: decorator
@inline
function powPair(x: v128, y: v128): v128 {
  const zero = f64x2.splat(0);
  const one = f64x2.splat(1);
  const infinity = f64x2.splat(f64.POSITIVE_INFINITY);
  const magnitude = f64x2.abs(x);
  let log = log2Pair(magnitude);
  log = v128.bitselect(f64x2.splat(-f64.POSITIVE_INFINITY), log, f64x2.eq(magnitude, zero));
  // Infinity and NaN pass through.
  log = v128.bitselect(log, magnitude, f64x2.lt(magnitude, infinity));
  const exponent = f64x2.mul(y, log);
  let r = exp2Pair(f64x2.pmax(f64x2.pmin(exponent, f64x2.splat(300)), f64x2.splat(-300)));
  r = v128.bitselect(one, r, v128.and(f64x2.eq(magnitude, one), f64x2.eq(f64x2.abs(y), infinity)));
  const half = f64x2.mul(y, f64x2.splat(0.5));
  const integer = f64x2.eq(f64x2.floor(y), y);
  const odd = v128.and(integer, f64x2.ne(f64x2.floor(half), half));
  const negative = i64x2.shr_s(x, 63);
  r = v128.xor(r, v128.and(v128.and(negative, odd), f64x2.splat(-0.0)));
  const undefined = v128.andnot(
    v128.and(f64x2.lt(x, zero), f64x2.lt(magnitude, infinity)),
    v128.or(integer, f64x2.eq(f64x2.abs(y), infinity)),
  );
  r = v128.bitselect(f64x2.splat(f64.NaN), r, undefined);
  return v128.bitselect(one, r, v128.or(f64x2.eq(x, one), f64x2.eq(y, zero)));
}

/** x^y by lane. Not inlined: long, and slow whether or not it is called. */
export function pow4(x: v128, y: v128): v128 {
  return demote(
    powPair(f64x2.promote_low_f32x4(x), f64x2.promote_low_f32x4(y)),
    powPair(promoteHigh(x), promoteHigh(y)),
  );
}
