/** sin, cos and pow of f32 lanes, computed in f64x2: rare in training, so simple and exact to about half an ulp. */
import { demote, madd64, promoteHigh } from './simd';

/** 1.5 * 2^52: adding it rounds to an integer, which then stands in the low bits. */
// @ts-ignore: decorator
@inline
const ROUNDER: f64 = 6755399441055744.0;

/** sin(r) for |r| <= pi/4; coefficients of FreeBSD's k_sinf.c. */
// @ts-ignore: decorator
@inline
function sinPolynomial(r: v128): v128 {
  const z = f64x2.mul(r, r);
  let p = madd64(f64x2.splat(0.0000027183114939898219064), z, f64x2.splat(-0.000198393348360966317347));
  p = madd64(p, z, f64x2.splat(0.0083333293858894631756));
  p = madd64(p, z, f64x2.splat(-0.166666666416265235595));
  return madd64(f64x2.mul(p, z), r, r);
}

/** cos(r) for |r| <= pi/4; coefficients of FreeBSD's k_cosf.c. */
// @ts-ignore: decorator
@inline
function cosPolynomial(r: v128): v128 {
  const z = f64x2.mul(r, r);
  let p = madd64(f64x2.splat(0.0000243904487962774090654), z, f64x2.splat(-0.00138867637746099294692));
  p = madd64(p, z, f64x2.splat(0.0416666233237390631894));
  p = madd64(p, z, f64x2.splat(-0.499999997251031003120));
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
  const rounded = f64x2.add(f64x2.mul(x, f64x2.splat(0.63661977236758134308)), f64x2.splat(ROUNDER));
  const n = f64x2.sub(rounded, f64x2.splat(ROUNDER));
  let r = f64x2.sub(x, f64x2.mul(n, f64x2.splat(1.5707963109016418457)));
  r = f64x2.sub(r, f64x2.mul(n, f64x2.splat(1.58932547735281966916e-8)));
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
// @ts-ignore: decorator
@inline
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

/** log2 of two f64 lanes that hold non-negative f32 values. */
// @ts-ignore: decorator
@inline
function log2Pair(x: v128): v128 {
  // x = m * 2^k, m in [sqrt(1/2), sqrt(2))
  const k = i64x2.shr_s(i64x2.sub(x, i64x2.splat(0x3fe6a09e667f3bcd)), 52);
  const m = i64x2.sub(x, i64x2.shl(k, 52));
  const s = f64x2.div(f64x2.sub(m, f64x2.splat(1)), f64x2.add(m, f64x2.splat(1)));
  const z = f64x2.mul(s, s);
  // 2 / ln 2 * atanh(s) = s * sum of 2 / (ln 2 (2 i + 1)) z^i
  let p = madd64(f64x2.splat(0.19235933878519511), z, f64x2.splat(0.22195308321368667));
  p = madd64(p, z, f64x2.splat(0.26230818925253879));
  p = madd64(p, z, f64x2.splat(0.32059889797532518));
  p = madd64(p, z, f64x2.splat(0.41219858311113239));
  p = madd64(p, z, f64x2.splat(0.57707801635558535));
  p = madd64(p, z, f64x2.splat(0.96179669392597556));
  p = madd64(p, z, f64x2.splat(2.8853900817779268));
  const n = f64x2.sub(i64x2.add(k, f64x2.splat(ROUNDER)), f64x2.splat(ROUNDER));
  return madd64(p, s, n);
}

/** 2^t of two f64 lanes, |t| <= 300 or NaN. */
// @ts-ignore: decorator
@inline
function exp2Pair(t: v128): v128 {
  const rounded = f64x2.add(t, f64x2.splat(ROUNDER));
  const r = f64x2.mul(f64x2.sub(t, f64x2.sub(rounded, f64x2.splat(ROUNDER))), f64x2.splat(0.69314718055994530942));
  let p = madd64(f64x2.splat(2.7557319223985893e-6), r, f64x2.splat(2.48015873015873e-5));
  p = madd64(p, r, f64x2.splat(1.984126984126984e-4));
  p = madd64(p, r, f64x2.splat(1.3888888888888889e-3));
  p = madd64(p, r, f64x2.splat(8.3333333333333333e-3));
  p = madd64(p, r, f64x2.splat(4.1666666666666667e-2));
  p = madd64(p, r, f64x2.splat(1.6666666666666667e-1));
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

/** x^y by lane. */
// @ts-ignore: decorator
@inline
export function pow4(x: v128, y: v128): v128 {
  return demote(
    powPair(f64x2.promote_low_f32x4(x), f64x2.promote_low_f32x4(y)),
    powPair(promoteHigh(x), promoteHigh(y)),
  );
}
