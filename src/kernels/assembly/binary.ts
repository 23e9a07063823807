/** Elementwise kernels of two operands over a [outer, inner] grid with broadcasting strides. */
import { loadTail, op, splat, storeTail } from './simd';
import { pow4 } from './trig-pow';

// @ts-ignore: decorator
@inline
function vectorVector<F>(out: usize, a: usize, b: usize, count: usize): void {
  const wide = a + ((count & ~15) << 2);
  while (a < wide) {
    const y0 = op<F>().f(v128.load(a), v128.load(b));
    const y1 = op<F>().f(v128.load(a, 16), v128.load(b, 16));
    const y2 = op<F>().f(v128.load(a, 32), v128.load(b, 32));
    const y3 = op<F>().f(v128.load(a, 48), v128.load(b, 48));
    v128.store(out, y0);
    v128.store(out, y1, 16);
    v128.store(out, y2, 32);
    v128.store(out, y3, 48);
    a += 64;
    b += 64;
    out += 64;
  }
  const end = a + ((count & 12) << 2);
  while (a < end) {
    v128.store(out, op<F>().f(v128.load(a), v128.load(b)));
    a += 16;
    b += 16;
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, op<F>().f(loadTail(a, rest, splat(0)), loadTail(b, rest, splat(0))));
}

// @ts-ignore: decorator
@inline
function vectorScalar<F>(out: usize, a: usize, b: v128, count: usize): void {
  const end = a + ((count & ~3) << 2);
  while (a < end) {
    v128.store(out, op<F>().f(v128.load(a), b));
    a += 16;
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, op<F>().f(loadTail(a, rest, splat(0)), b));
}

// @ts-ignore: decorator
@inline
function scalarVector<F>(out: usize, a: v128, b: usize, count: usize): void {
  const end = b + ((count & ~3) << 2);
  while (b < end) {
    v128.store(out, op<F>().f(a, v128.load(b)));
    b += 16;
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, op<F>().f(a, loadTail(b, rest, splat(0))));
}

// @ts-ignore: decorator
@inline
function grid<F>(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  if (inner == 1 && aOuter <= 1 && bOuter <= 1) {
    // A column is a row of another name.
    inner = outer;
    aInner = aOuter;
    bInner = bOuter;
    outer = 1;
  } else if (aInner == 1 && bInner == 1 && aOuter == inner && bOuter == inner) {
    inner *= outer;
    outer = 1;
  }
  for (let i: usize = 0; i < outer; i++) {
    if (aInner) {
      if (bInner) vectorVector<F>(out, a, b, inner);
      else vectorScalar<F>(out, a, v128.load32_splat(b), inner);
    } else if (bInner) {
      scalarVector<F>(out, v128.load32_splat(a), b, inner);
    } else {
      const value = op<F>().f(v128.load32_splat(a), v128.load32_splat(b));
      for (let j: usize = 0; j < inner; j++) v128.store_lane<u32>(out + (j << 2), value, 0);
    }
    out += inner << 2;
    a += aOuter << 2;
    b += bOuter << 2;
  }
}

class Add { @inline f(a: v128, b: v128): v128 { return f32x4.add(a, b); } }
class Sub { @inline f(a: v128, b: v128): v128 { return f32x4.sub(a, b); } }
class Mul { @inline f(a: v128, b: v128): v128 { return f32x4.mul(a, b); } }
class Div { @inline f(a: v128, b: v128): v128 { return f32x4.div(a, b); } }
class Pow { @inline f(a: v128, b: v128): v128 { return pow4(a, b); } }
class Minimum { @inline f(a: v128, b: v128): v128 { return f32x4.min(a, b); } }
class Maximum { @inline f(a: v128, b: v128): v128 { return f32x4.max(a, b); } }
class Equal { @inline f(a: v128, b: v128): v128 { return v128.and(f32x4.eq(a, b), splat(1.0)); } }
class NotEqual { @inline f(a: v128, b: v128): v128 { return v128.and(f32x4.ne(a, b), splat(1.0)); } }
class Less { @inline f(a: v128, b: v128): v128 { return v128.and(f32x4.lt(a, b), splat(1.0)); } }
class LessEqual { @inline f(a: v128, b: v128): v128 { return v128.and(f32x4.le(a, b), splat(1.0)); } }
class Greater { @inline f(a: v128, b: v128): v128 { return v128.and(f32x4.gt(a, b), splat(1.0)); } }
class GreaterEqual { @inline f(a: v128, b: v128): v128 { return v128.and(f32x4.ge(a, b), splat(1.0)); } }

export function add(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Add>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function sub(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Sub>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function mul(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Mul>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function div(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Div>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function pow(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Pow>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function minimum(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Minimum>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function maximum(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Maximum>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function equal(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Equal>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function notEqual(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<NotEqual>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function less(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Less>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function lessEqual(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<LessEqual>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function greater(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<Greater>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
export function greaterEqual(
  out: usize, a: usize, b: usize, outer: usize, inner: usize, aOuter: usize, aInner: usize, bOuter: usize, bInner: usize,
): void {
  grid<GreaterEqual>(out, a, b, outer, inner, aOuter, aInner, bOuter, bInner);
}
