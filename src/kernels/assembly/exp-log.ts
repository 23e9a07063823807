/**
 * exp, log and what follows from them, for four f32 lanes. Cody-Waite argument reduction and short polynomials; errors are
 * measured in test/kernels/math-ulp.test.ts. Infinities, NaN, zero, overflow and subnormal results are right.
 */
import { atLeast, atMost, madd, nmadd, select, splat } from './simd';

// @ts-ignore: decorator
@inline
const LOG2E: f32 = 1.442695040888963407;
/** ln 2 = high (few bits, so that n * high is exact) + low. */
// @ts-ignore: decorator
@inline
const LN2_HIGH: f32 = 0.693145751953125;
// @ts-ignore: decorator
@inline
const LN2_LOW: f32 = 1.428606765330187045e-6;
/** 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits. */
// @ts-ignore: decorator
@inline
const ROUNDER: f32 = 12582912.0;

/** (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2; coefficients of SLEEF's expf. */
// @ts-ignore: decorator
@inline
function expTail(r: v128): v128 {
  let u = madd(splat(0.000198527617612853646278381), r, splat(0.00139304355252534151077271));
  u = madd(u, r, splat(0.00833336077630519866943359));
  u = madd(u, r, splat(0.0416664853692054748535156));
  u = madd(u, r, splat(0.166666671633720397949219));
  return madd(u, r, splat(0.5));
}

/** exp(x + low), |low| much smaller than x. */
// @ts-ignore: decorator
@inline
export function expSum(x: v128, low: v128): v128 {
  const clamped = atLeast(atMost(x, splat(100.0)), splat(-110.0));
  const rounded = madd(clamped, splat(LOG2E), splat(ROUNDER));
  const n = f32x4.sub(rounded, splat(ROUNDER));
  let r = nmadd(n, splat(LN2_HIGH), clamped);
  r = f32x4.add(nmadd(n, splat(LN2_LOW), r), low);
  const p = f32x4.add(madd(f32x4.mul(r, r), expTail(r), r), splat(1.0));
  return scaleByPowerOf2(p, i32x4.sub(rounded, i32x4.splat(0x4b400000)));
}

/** exp(x) */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const clamped = atLeast(atMost(x, splat(100.0)), splat(-110.0));
  const rounded = madd(clamped, splat(LOG2E), splat(ROUNDER));
  const n = f32x4.sub(rounded, splat(ROUNDER));
  let r = nmadd(n, splat(LN2_HIGH), clamped);
  r = nmadd(n, splat(LN2_LOW), r);
  const p = f32x4.add(madd(f32x4.mul(r, r), expTail(r), r), splat(1.0));
  return scaleByPowerOf2(p, i32x4.sub(rounded, i32x4.splat(0x4b400000)));
}

/** p * 2^n in two steps, so that subnormal results round once and large ones overflow to infinity. */
// @ts-ignore: decorator
@inline
function scaleByPowerOf2(p: v128, n: v128): v128 {
  const half = i32x4.shr_s(n, 1);
  const first = i32x4.shl(i32x4.add(half, i32x4.splat(127)), 23);
  const second = i32x4.shl(i32x4.add(i32x4.sub(n, half), i32x4.splat(127)), 23);
  return f32x4.mul(f32x4.mul(p, first), second);
}

/** exp(x) - 1 for x <= 0, exact to a few ulp also where x is tiny. */
// @ts-ignore: decorator
@inline
export function expm1Negative(x: v128): v128 {
  const clamped = atLeast(x, splat(-30.0));
  const rounded = madd(clamped, splat(LOG2E), splat(ROUNDER));
  const n = f32x4.sub(rounded, splat(ROUNDER));
  let r = nmadd(n, splat(LN2_HIGH), clamped);
  r = nmadd(n, splat(LN2_LOW), r);
  const e = madd(f32x4.mul(r, r), expTail(r), r);
  const scale = i32x4.shl(i32x4.sub(rounded, i32x4.splat(0x4b400000 - 127)), 23);
  return madd(scale, e, f32x4.sub(scale, splat(1.0)));
}

/** log(x); after FreeBSD's e_logf.c. */
// @ts-ignore: decorator
@inline
export function log4(x: v128): v128 {
  const tiny = f32x4.lt(x, splat(1.17549435e-38));
  const normal = select(tiny, f32x4.mul(x, splat(33554432.0)), x);
  let bits = i32x4.add(normal, i32x4.splat(0x3f800000 - 0x3f3504f3));
  let k = i32x4.sub(i32x4.shr_s(bits, 23), i32x4.splat(127));
  k = i32x4.sub(k, v128.and(tiny, i32x4.splat(25)));
  bits = i32x4.add(v128.and(bits, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  const f = f32x4.sub(bits, splat(1.0));
  const s = f32x4.div(f, f32x4.add(splat(2.0), f));
  const z = f32x4.mul(s, s);
  const w = f32x4.mul(z, z);
  const even = f32x4.mul(w, madd(w, splat(0.24279078841), splat(0.40000972152)));
  const odd = f32x4.mul(z, madd(w, splat(0.28498786688), splat(0.66666662693)));
  const halfSquare = f32x4.mul(f32x4.mul(splat(0.5), f), f);
  const dk = f32x4.convert_i32x4_s(k);
  let y = f32x4.mul(s, f32x4.add(halfSquare, f32x4.add(odd, even)));
  y = f32x4.add(f32x4.sub(madd(dk, splat(9.0580006145e-6), y), halfSquare), f);
  y = madd(dk, splat(6.9313812256e-1), y);
  // 0 -> -inf, negative and NaN -> NaN, inf -> inf
  y = select(f32x4.eq(x, splat(0)), splat(-f32.POSITIVE_INFINITY), y);
  const valid = v128.and(f32x4.ge(x, splat(0)), f32x4.lt(x, splat(f32.POSITIVE_INFINITY)));
  return select(valid, y, select(f32x4.gt(x, splat(0)), x, splat(f32.NaN)));
}

/** log(1 + e) for 0 <= e <= 1 (or NaN): log of the rounded sum, plus what rounding lost. */
// @ts-ignore: decorator
@inline
export function log1pUnit(e: v128): v128 {
  const u = f32x4.add(e, splat(1.0));
  const lost = f32x4.sub(e, f32x4.sub(u, splat(1.0)));
  return f32x4.add(log4(u), f32x4.div(lost, u));
}

/** 1 / (1 + exp(-x)) without overflow: both forms divide by 1 + exp(-|x|). */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  const e = exp4(f32x4.neg(f32x4.abs(x)));
  const numerator = select(f32x4.lt(x, splat(0)), e, splat(1.0));
  return f32x4.div(numerator, f32x4.add(splat(1.0), e));
}

/** log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) */
// @ts-ignore: decorator
@inline
export function softplus4(x: v128): v128 {
  return f32x4.add(atLeast(x, splat(0)), log1pUnit(exp4(f32x4.neg(f32x4.abs(x)))));
}

/** Odd polynomial below 0.625 (Cephes), 1 - 2 / (exp(2|x|) + 1) above. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  const magnitude = f32x4.abs(x);
  const z = f32x4.mul(x, x);
  let p = madd(splat(-5.70498872745e-3), z, splat(2.06390887954e-2));
  p = madd(p, z, splat(-5.37397155531e-2));
  p = madd(p, z, splat(1.33314422036e-1));
  p = madd(p, z, splat(-3.33332819422e-1));
  const near = madd(f32x4.mul(p, z), x, x);
  const e = exp4(f32x4.add(magnitude, magnitude));
  const far = f32x4.sub(splat(1.0), f32x4.div(splat(2.0), f32x4.add(e, splat(1.0))));
  const sign = v128.and(x, splat(-0.0));
  return select(f32x4.lt(magnitude, splat(0.625)), near, v128.or(far, sign));
}

/** erf(x): two polynomials after N. Juffa (public domain), each below one ulp with FMA. */
// @ts-ignore: decorator
@inline
export function erf4(x: v128): v128 {
  const t = atMost(f32x4.abs(x), splat(6.0));
  const s = f32x4.mul(t, t);
  let far = madd(splat(-1.7285347e-5), t, splat(3.83197126e-4));
  const u = madd(splat(-3.88396438e-3), t, splat(2.42546219e-2));
  far = madd(far, s, u);
  far = madd(far, t, splat(-1.06777877e-1));
  far = madd(far, t, splat(-6.34846687e-1));
  far = madd(far, t, splat(-1.28717512e-1));
  far = madd(far, t, f32x4.neg(t));
  far = f32x4.sub(splat(1.0), exp4(far));
  far = v128.or(far, v128.and(x, splat(-0.0)));
  let near = madd(splat(-5.96761703e-4), s, splat(4.99119423e-3));
  near = madd(near, s, splat(-2.67681349e-2));
  near = madd(near, s, splat(1.12819925e-1));
  near = madd(near, s, splat(-3.76125336e-1));
  near = madd(near, s, splat(1.28379166e-1));
  near = madd(near, x, x);
  return select(f32x4.gt(t, splat(0.927734375)), far, near);
}

/** exp(-x^2 / 2), the square in two parts so that its rounding is not magnified. */
// @ts-ignore: decorator
@inline
export function gaussian4(x: v128): v128 {
  const clamped = atMost(f32x4.abs(x), splat(15.0));
  const high = v128.and(clamped, i32x4.splat(0xfffff000));
  const low = f32x4.mul(f32x4.sub(clamped, high), f32x4.add(clamped, high));
  return expSum(f32x4.mul(f32x4.mul(high, high), splat(-0.5)), f32x4.mul(low, splat(-0.5)));
}

/**
 * The standard normal distribution function, given g = exp(-x^2 / 2): Phi(-|x|) = g * u * P(u), u = 1 / (1 + 0.35 |x|), so that
 * the left tail keeps its relative precision. P: Chebyshev fit on |x| <= 14.5, relative error 4e-8.
 */
// @ts-ignore: decorator
@inline
export function normalCdf4(x: v128, g: v128): v128 {
  const clamped = atMost(f32x4.abs(x), splat(15.0));
  const u = f32x4.div(splat(1.0), madd(clamped, splat(0.35), splat(1.0)));
  let p = madd(splat(-0.028975924476981163), u, splat(0.1432344615459442));
  p = madd(p, u, splat(-0.2543874979019165));
  p = madd(p, u, splat(0.15789276361465454));
  p = madd(p, u, splat(-0.02239306829869747));
  p = madd(p, u, splat(0.1052747294306755));
  p = madd(p, u, splat(0.11987471580505371));
  p = madd(p, u, splat(0.13985830545425415));
  p = madd(p, u, splat(0.13962149620056152));
  const tail = f32x4.mul(f32x4.mul(p, u), g);
  return select(f32x4.lt(x, splat(0)), tail, f32x4.sub(splat(1.0), tail));
}
