/**
 * exp, log and what follows from them, for four f32 lanes. Cody-Waite argument reduction and short polynomials; errors are
 * measured in test/kernels/elementary.test.ts. Infinities, NaN, zero, overflow and subnormal results are right.
 */
import { atLeast, atMost, constant, madd, nmadd, select, splat } from './simd';

/**
 * 0, 1: bounds beyond which exp is infinite or 0. 2: 1 / ln 2. 3: 1.5 * 2^23, which when added rounds to an integer that then
 * stands in the low bits. 4, 5: ln 2 = high (few bits, so that n * high is exact) + low. 6-11: (exp(r) - 1 - r) / r^2 for
 * |r| <= ln 2 / 2, coefficients of SLEEF's expf. 12: where expm1 is -1.
 */
const EXP = memory.data<f32>([
  100.0, -110.0, 1.442695040888963407, 12582912.0, 0.693145751953125, 1.428606765330187045e-6, 0.000198527617612853646,
  0.00139304355252534151, 0.00833336077630519867, 0.0416664853692054749, 0.166666671633720398, 0.5, -30.0,
]);

/** 0: bits of EXP[3]. 1: exponent bias. 2: both, for expm1. */
const EXP_BITS = memory.data<u32>([0x4b400000, 127, 0x4b400000 - 127]);

// @ts-ignore: decorator
@inline
function expTail(r: v128): v128 {
  let u = madd(constant(EXP, 6), r, constant(EXP, 7));
  u = madd(u, r, constant(EXP, 8));
  u = madd(u, r, constant(EXP, 9));
  u = madd(u, r, constant(EXP, 10));
  return madd(u, r, constant(EXP, 11));
}

/** exp(x) */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const clamped = atLeast(atMost(x, constant(EXP, 0)), constant(EXP, 1));
  const rounded = madd(clamped, constant(EXP, 2), constant(EXP, 3));
  const n = f32x4.sub(rounded, constant(EXP, 3));
  let r = nmadd(n, constant(EXP, 4), clamped);
  r = nmadd(n, constant(EXP, 5), r);
  const p = f32x4.add(madd(f32x4.mul(r, r), expTail(r), r), splat(1.0));
  return scaleByPowerOf2(p, i32x4.sub(rounded, constant(EXP_BITS, 0)));
}

/** p * 2^n in two steps, so that subnormal results round once and large ones overflow to infinity. */
// @ts-ignore: decorator
@inline
function scaleByPowerOf2(p: v128, n: v128): v128 {
  const half = i32x4.shr_s(n, 1);
  const bias = constant(EXP_BITS, 1);
  const first = i32x4.shl(i32x4.add(half, bias), 23);
  const second = i32x4.shl(i32x4.add(i32x4.sub(n, half), bias), 23);
  return f32x4.mul(f32x4.mul(p, first), second);
}

/** exp(x) - 1 for x <= 0, exact to a few ulp also where x is tiny. */
// @ts-ignore: decorator
@inline
export function expm1Negative(x: v128): v128 {
  const clamped = atLeast(x, constant(EXP, 12));
  const rounded = madd(clamped, constant(EXP, 2), constant(EXP, 3));
  const n = f32x4.sub(rounded, constant(EXP, 3));
  let r = nmadd(n, constant(EXP, 4), clamped);
  r = nmadd(n, constant(EXP, 5), r);
  const e = madd(f32x4.mul(r, r), expTail(r), r);
  const scale = i32x4.shl(i32x4.sub(rounded, constant(EXP_BITS, 2)), 23);
  return madd(scale, e, f32x4.sub(scale, splat(1.0)));
}

/**
 * 0-3: (log(1+f) - f + f^2/2 ...) / s in s^2, s = f / (2 + f), after FreeBSD's e_logf.c. 4, 5: ln 2 in two parts.
 * 6: the smallest normal number. 7: 2^25.
 */
const LOG = memory.data<f32>([
  0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841, 6.9313812256e-1, 9.0580006145e-6, 1.17549435e-38, 33554432.0,
]);

/** 0: bits of sqrt(1/2). 1: bits of 1 less these. 2: mask of the mantissa. */
const LOG_BITS = memory.data<u32>([0x3f3504f3, 0x3f800000 - 0x3f3504f3, 0x007fffff]);

/** log(x * 2^-25) where `scaled` is set, else log(x), of positive normal x. */
// @ts-ignore: decorator
@inline
function logNormal(x: v128, scaled: v128): v128 {
  // x = m * 2^k, m in [sqrt(1/2), sqrt(2)), f = m - 1
  const shifted = i32x4.add(x, constant(LOG_BITS, 1));
  let k = i32x4.sub(i32x4.shr_s(shifted, 23), constant(EXP_BITS, 1));
  k = i32x4.sub(k, v128.and(scaled, i32x4.splat(25)));
  const m = i32x4.add(v128.and(shifted, constant(LOG_BITS, 2)), constant(LOG_BITS, 0));
  const f = f32x4.sub(m, splat(1.0));
  const s = f32x4.div(f, f32x4.add(splat(2.0), f));
  const z = f32x4.mul(s, s);
  const w = f32x4.mul(z, z);
  const even = f32x4.mul(w, madd(w, constant(LOG, 3), constant(LOG, 1)));
  const odd = f32x4.mul(z, madd(w, constant(LOG, 2), constant(LOG, 0)));
  const halfSquare = f32x4.mul(f32x4.mul(splat(0.5), f), f);
  const dk = f32x4.convert_i32x4_s(k);
  let y = f32x4.mul(s, f32x4.add(halfSquare, f32x4.add(odd, even)));
  y = f32x4.add(f32x4.sub(madd(dk, constant(LOG, 5), y), halfSquare), f);
  return madd(dk, constant(LOG, 4), y);
}

/** log(x) */
// @ts-ignore: decorator
@inline
export function log4(x: v128): v128 {
  const infinity = splat(f32.POSITIVE_INFINITY);
  const tiny = f32x4.lt(x, constant(LOG, 6));
  let y = logNormal(select(tiny, f32x4.mul(x, constant(LOG, 7)), x), tiny);
  // 0 -> -inf, inf -> inf, negative and NaN -> NaN (as square roots do)
  y = select(f32x4.eq(x, splat(0)), f32x4.neg(infinity), y);
  return select(v128.and(f32x4.ge(x, splat(0)), f32x4.lt(x, infinity)), y, f32x4.sqrt(x));
}

/** log(1 + e) for 0 <= e <= 1 (or NaN): log of the rounded sum, plus what rounding lost. */
// @ts-ignore: decorator
@inline
export function log1pUnit(e: v128): v128 {
  const u = f32x4.add(e, splat(1.0));
  const lost = f32x4.sub(e, f32x4.sub(u, splat(1.0)));
  return f32x4.add(logNormal(u, splat(0)), f32x4.div(lost, u));
}

/**
 * 0, 1: bounds of x, inside of which one step scales by a power of 2. 2: -1 / ln 2. 3: ln 2 in one part with FMA to 4 and the
 * rest. 5-9: (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2 with signs for -r, a minimax fit with relative error 3e-9 of exp.
 */
const SIGMOID = memory.data<f32>([
  -87.0, 88.0, -1.442695040888963407, 0.693145751953125, 1.428606765330187045e-6, 0.0013814540101, -0.0083687451956,
  0.041668390791, -0.16666520398, 0.49999993432,
]);

/** 1 / (1 + exp(-x)); 0 where that is below the smallest normal number. */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  const clamped = atMost(atLeast(x, constant(SIGMOID, 0)), constant(SIGMOID, 1));
  const rounded = madd(clamped, constant(SIGMOID, 2), constant(EXP, 3));
  const n = f32x4.sub(rounded, constant(EXP, 3));
  // -x = n ln 2 - r
  const r = madd(n, constant(SIGMOID, 4), madd(n, constant(SIGMOID, 3), clamped));
  let u = madd(constant(SIGMOID, 5), r, constant(SIGMOID, 6));
  u = madd(u, r, constant(SIGMOID, 7));
  u = madd(u, r, constant(SIGMOID, 8));
  u = madd(u, r, constant(SIGMOID, 9));
  const p = f32x4.add(f32x4.sub(f32x4.mul(f32x4.mul(r, r), u), r), splat(1.0));
  const e = i32x4.add(p, i32x4.shl(rounded, 23));
  const y = f32x4.div(splat(1.0), f32x4.add(splat(1.0), e));
  return v128.andnot(y, f32x4.lt(x, constant(SIGMOID, 0)));
}

/** log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) */
// @ts-ignore: decorator
@inline
export function softplus4(x: v128): v128 {
  return f32x4.add(atLeast(x, splat(0)), log1pUnit(exp4(f32x4.neg(f32x4.abs(x)))));
}

/**
 * 0, 1: bounds beyond which tanh is -1 or 1. 2: 2 / ln 2. 3, 4: ln 2 / 2 in two parts. 5-10: (exp(2 h) - 1) / h for |h| <= ln 2 / 4,
 * a minimax fit with relative error 2e-8.
 */
const TANH = memory.data<f32>([
  -10.0, 10.0, 2.885390081777926815, 0.3465728759765625, 7.143033826650935225e-7, 0.08884810582, 0.26772951096, 0.66667521142,
  1.33332347389, 1.99999992598, 2.0,
]);

/** e / (e + 2) with e = exp(2 x) - 1, which keeps its relative precision where x is small. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  const clamped = atMost(atLeast(x, constant(TANH, 0)), constant(TANH, 1));
  const rounded = madd(clamped, constant(TANH, 2), constant(EXP, 3));
  const n = f32x4.sub(rounded, constant(EXP, 3));
  const h = nmadd(n, constant(TANH, 4), nmadd(n, constant(TANH, 3), clamped));
  let u = madd(constant(TANH, 5), h, constant(TANH, 6));
  u = madd(u, h, constant(TANH, 7));
  u = madd(u, h, constant(TANH, 8));
  u = madd(u, h, constant(TANH, 9));
  u = f32x4.mul(h, madd(u, h, constant(TANH, 10)));
  const scale = i32x4.shl(i32x4.sub(rounded, constant(EXP_BITS, 2)), 23);
  const e = madd(scale, u, f32x4.sub(scale, splat(1.0)));
  return f32x4.div(e, f32x4.add(e, splat(2.0)));
}

/** 0-6: -log(1 - erf(t)) - t, 7-12: (erf(x) - x) / x in x^2, 13: the bound between, 14: where erf is 1. After N. Juffa. */
const ERF = memory.data<f32>([
  -1.7285347e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1,
  -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1, 0.927734375, 6.0,
]);

/** erf(x): two polynomials, each below one ulp with FMA. */
// @ts-ignore: decorator
@inline
export function erf4(x: v128): v128 {
  const t = atMost(f32x4.abs(x), constant(ERF, 14));
  const s = f32x4.mul(t, t);
  let far = madd(constant(ERF, 0), t, constant(ERF, 1));
  const u = madd(constant(ERF, 2), t, constant(ERF, 3));
  far = madd(far, s, u);
  far = madd(far, t, constant(ERF, 4));
  far = madd(far, t, constant(ERF, 5));
  far = madd(far, t, constant(ERF, 6));
  far = nmadd(far, f32x4.neg(t), f32x4.neg(t));
  far = f32x4.sub(splat(1.0), exp4(far));
  far = v128.or(far, v128.and(x, splat(-0.0)));
  let near = madd(constant(ERF, 7), s, constant(ERF, 8));
  near = madd(near, s, constant(ERF, 9));
  near = madd(near, s, constant(ERF, 10));
  near = madd(near, s, constant(ERF, 11));
  near = madd(near, s, constant(ERF, 12));
  near = madd(near, x, x);
  return select(f32x4.gt(t, constant(ERF, 13)), far, near);
}

/**
 * Fits in t = x^2 by iterated weighted least squares (Loeb's and Lawson's schemes, f64). 0-5, 6-10: P, Q of Phi(x) - 1/2 = x P / Q
 * on |x| <= 5.6, absolute error 3e-8 / max(1, |x|). 11-17, 18-22: the same of its slope times x, (x Phi(x))' - 1/2 on |x| <= 5.9, error
 * 1e-7. Q starts with 1. 23, 24: the bounds.
 */
const NORMAL = memory.data<f32>([
  0.39894211292266846, 0.03555690869688988, 0.004785919561982155, 0.00018677633488550782, 6.52576818538364e-6,
  2.1707238673229767e-8,
  0.25579214096069336, 0.029632536694407463, 0.0019852968398481607, 7.96831154730171e-5, 1.1800591437349794e-6,
  0.7978852987289429, -0.031203553080558777, 0.01422251295298338, 1.669429366302211e-5, 3.5660676076076925e-5,
  1.8479133245818957e-7, 3.0454895549869576e-11,
  0.2942332327365875, 0.04088464006781578, 0.0035064152907580137, 0.0001908552658278495, 8.790446372586302e-6,
  5.6, 5.9,
]);

// @ts-ignore: decorator
@inline
function within(x: v128, bound: v128): v128 {
  return atLeast(atMost(x, bound), f32x4.neg(bound));
}

/**
 * x Phi(x), Phi the standard normal distribution function: as (1 + erf) / 2 in single precision: with an absolute error
 * of up to 8e-7 on the left, where the terms cancel. Exactly 0 and x beyond |x| = 5.6.
 */
// @ts-ignore: decorator
@inline
export function gelu4(x: v128): v128 {
  const bound = constant(NORMAL, 23);
  const c = within(x, bound);
  const t = f32x4.mul(c, c);
  let p = madd(constant(NORMAL, 5), t, constant(NORMAL, 4));
  let q = madd(constant(NORMAL, 10), t, constant(NORMAL, 9));
  p = madd(p, t, constant(NORMAL, 3));
  q = madd(q, t, constant(NORMAL, 8));
  p = madd(p, t, constant(NORMAL, 2));
  q = madd(q, t, constant(NORMAL, 7));
  p = madd(p, t, constant(NORMAL, 1));
  q = madd(q, t, constant(NORMAL, 6));
  p = madd(p, t, constant(NORMAL, 0));
  q = madd(q, t, splat(1.0));
  const phi = madd(c, f32x4.div(p, q), splat(0.5));
  const inside = v128.andnot(f32x4.mul(x, phi), f32x4.lt(x, f32x4.neg(bound)));
  return select(f32x4.gt(x, bound), x, inside);
}

/** (x Phi(x))' = Phi(x) + x phi(x), with an absolute error of 3e-7. */
// @ts-ignore: decorator
@inline
export function geluSlope4(x: v128): v128 {
  const c = within(x, constant(NORMAL, 24));
  const t = f32x4.mul(c, c);
  let p = madd(constant(NORMAL, 17), t, constant(NORMAL, 16));
  let q = madd(constant(NORMAL, 22), t, constant(NORMAL, 21));
  p = madd(p, t, constant(NORMAL, 15));
  q = madd(q, t, constant(NORMAL, 20));
  p = madd(p, t, constant(NORMAL, 14));
  q = madd(q, t, constant(NORMAL, 19));
  p = madd(p, t, constant(NORMAL, 13));
  q = madd(q, t, constant(NORMAL, 18));
  p = madd(p, t, constant(NORMAL, 12));
  q = madd(q, t, splat(1.0));
  p = madd(p, t, constant(NORMAL, 11));
  return madd(c, f32x4.div(p, q), splat(0.5));
}
