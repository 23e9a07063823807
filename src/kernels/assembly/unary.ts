/** Elementwise kernels of one operand and the gradients of activations. */
import {
  Elu, EluGrad, Gelu, GeluGrad, GeluTanh, GeluTanhGrad, LeakyRelu, LeakyReluGrad, Relu, ReluGrad, Sigmoid,
  SigmoidGrad, Silu, SiluGrad, Softplus, SoftplusGrad, Tanh, TanhGrad,
} from './activations';
import { erf4, exp4, log4 } from './exp-log';
import { atLeast, atMost, loadTail, op, select, splat, storeTail } from './simd';
import { pow4, sin4 } from './trig-pow';

/** Four elements a turn. */
// @ts-ignore: decorator
@inline
function map<F>(out: usize, x: usize, count: usize, alpha: f32): void {
  const a = splat(alpha);
  const end = x + ((count & ~3) << 2);
  while (x < end) {
    v128.store(out, op<F>().f(v128.load(x), a));
    x += 16;
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, op<F>().f(loadTail(x, rest, splat(0)), a));
}

/** Sixteen elements a turn, for operations of a few instructions. */
// @ts-ignore: decorator
@inline
function mapWide<F>(out: usize, x: usize, count: usize, alpha: f32): void {
  const a = splat(alpha);
  const end = x + ((count & ~15) << 2);
  while (x < end) {
    const y0 = op<F>().f(v128.load(x), a);
    const y1 = op<F>().f(v128.load(x, 16), a);
    const y2 = op<F>().f(v128.load(x, 32), a);
    const y3 = op<F>().f(v128.load(x, 48), a);
    v128.store(out, y0);
    v128.store(out, y1, 16);
    v128.store(out, y2, 32);
    v128.store(out, y3, 48);
    x += 64;
    out += 64;
  }
  map<F>(out, x, count & 15, alpha);
}

/** Eight elements a turn, for formulas with many constants: two vectors share what was loaded. */
// @ts-ignore: decorator
@inline
function mapPairs<F>(out: usize, x: usize, count: usize, alpha: f32): void {
  const a = splat(alpha);
  const end = x + ((count & ~7) << 2);
  while (x < end) {
    const y0 = op<F>().f(v128.load(x), a);
    const y1 = op<F>().f(v128.load(x, 16), a);
    v128.store(out, y0);
    v128.store(out, y1, 16);
    x += 32;
    out += 32;
  }
  map<F>(out, x, count & 7, alpha);
}

// @ts-ignore: decorator
@inline
function mapGrad<F>(out: usize, saved: usize, dy: usize, count: usize, alpha: f32): void {
  const a = splat(alpha);
  const end = saved + ((count & ~3) << 2);
  while (saved < end) {
    v128.store(out, op<F>().f(v128.load(saved), v128.load(dy), a));
    saved += 16;
    dy += 16;
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, op<F>().f(loadTail(saved, rest, splat(0)), loadTail(dy, rest, splat(0)), a));
}

// @ts-ignore: decorator
@inline
function mapGradWide<F>(out: usize, saved: usize, dy: usize, count: usize, alpha: f32): void {
  const a = splat(alpha);
  const end = saved + ((count & ~15) << 2);
  while (saved < end) {
    const y0 = op<F>().f(v128.load(saved), v128.load(dy), a);
    const y1 = op<F>().f(v128.load(saved, 16), v128.load(dy, 16), a);
    const y2 = op<F>().f(v128.load(saved, 32), v128.load(dy, 32), a);
    const y3 = op<F>().f(v128.load(saved, 48), v128.load(dy, 48), a);
    v128.store(out, y0);
    v128.store(out, y1, 16);
    v128.store(out, y2, 32);
    v128.store(out, y3, 48);
    saved += 64;
    dy += 64;
    out += 64;
  }
  mapGrad<F>(out, saved, dy, count & 15, alpha);
}

class Neg { @inline f(x: v128, alpha: v128): v128 { return f32x4.neg(x); } }
class Exp { @inline f(x: v128, alpha: v128): v128 { return exp4(x); } }
class Log { @inline f(x: v128, alpha: v128): v128 { return log4(x); } }
class Sqrt { @inline f(x: v128, alpha: v128): v128 { return f32x4.sqrt(x); } }
class Abs { @inline f(x: v128, alpha: v128): v128 { return f32x4.abs(x); } }
class Square { @inline f(x: v128, alpha: v128): v128 { return f32x4.mul(x, x); } }
class Reciprocal { @inline f(x: v128, alpha: v128): v128 { return f32x4.div(splat(1.0), x); } }
/** -1, 0, 1; zero keeps its sign, NaN stays. */
class Sign {
  @inline f(x: v128, alpha: v128): v128 {
    const signed = v128.or(v128.and(x, splat(-0.0)), splat(1.0));
    return select(f32x4.gt(f32x4.abs(x), splat(0)), signed, x);
  }
}
class Floor { @inline f(x: v128, alpha: v128): v128 { return f32x4.floor(x); } }
class Sin { @inline f(x: v128, alpha: v128): v128 { return sin4(x, 0); } }
class Cos { @inline f(x: v128, alpha: v128): v128 { return sin4(x, 1); } }
class Erf { @inline f(x: v128, alpha: v128): v128 { return erf4(x); } }
class Scale { @inline f(x: v128, alpha: v128): v128 { return f32x4.mul(x, alpha); } }
class AddScalar { @inline f(x: v128, alpha: v128): v128 { return f32x4.add(x, alpha); } }
class PowScalar { @inline f(x: v128, alpha: v128): v128 { return pow4(x, alpha); } }

export function neg(out: usize, x: usize, count: usize, alpha: f32): void { mapWide<Neg>(out, x, count, alpha); }
export function exp(out: usize, x: usize, count: usize, alpha: f32): void { map<Exp>(out, x, count, alpha); }
export function log(out: usize, x: usize, count: usize, alpha: f32): void { map<Log>(out, x, count, alpha); }
export function sqrt(out: usize, x: usize, count: usize, alpha: f32): void { mapWide<Sqrt>(out, x, count, alpha); }
export function abs(out: usize, x: usize, count: usize, alpha: f32): void { mapWide<Abs>(out, x, count, alpha); }
export function square(out: usize, x: usize, count: usize, alpha: f32): void { mapWide<Square>(out, x, count, alpha); }
export function reciprocal(out: usize, x: usize, count: usize, alpha: f32): void {
  mapWide<Reciprocal>(out, x, count, alpha);
}
export function sign(out: usize, x: usize, count: usize, alpha: f32): void { mapWide<Sign>(out, x, count, alpha); }
export function floor(out: usize, x: usize, count: usize, alpha: f32): void { mapWide<Floor>(out, x, count, alpha); }
export function sin(out: usize, x: usize, count: usize, alpha: f32): void { map<Sin>(out, x, count, alpha); }
export function cos(out: usize, x: usize, count: usize, alpha: f32): void { map<Cos>(out, x, count, alpha); }
export function erf(out: usize, x: usize, count: usize, alpha: f32): void { map<Erf>(out, x, count, alpha); }
export function tanh(out: usize, x: usize, count: usize, alpha: f32): void { map<Tanh>(out, x, count, alpha); }
export function sigmoid(out: usize, x: usize, count: usize, alpha: f32): void { map<Sigmoid>(out, x, count, alpha); }
export function relu(out: usize, x: usize, count: usize, alpha: f32): void { mapWide<Relu>(out, x, count, alpha); }
export function leakyRelu(out: usize, x: usize, count: usize, alpha: f32): void {
  mapWide<LeakyRelu>(out, x, count, alpha);
}
export function elu(out: usize, x: usize, count: usize, alpha: f32): void { map<Elu>(out, x, count, alpha); }
export function gelu(out: usize, x: usize, count: usize, alpha: f32): void { mapPairs<Gelu>(out, x, count, alpha); }
export function geluTanh(out: usize, x: usize, count: usize, alpha: f32): void { map<GeluTanh>(out, x, count, alpha); }
export function silu(out: usize, x: usize, count: usize, alpha: f32): void { map<Silu>(out, x, count, alpha); }
export function softplus(out: usize, x: usize, count: usize, alpha: f32): void { map<Softplus>(out, x, count, alpha); }
export function scale(out: usize, x: usize, count: usize, alpha: f32): void { mapWide<Scale>(out, x, count, alpha); }
export function addScalar(out: usize, x: usize, count: usize, alpha: f32): void {
  mapWide<AddScalar>(out, x, count, alpha);
}

/** x^alpha; the exponents of everyday models are exact without pow. */
export function powScalar(out: usize, x: usize, count: usize, alpha: f32): void {
  if (alpha == 2.0) mapWide<Square>(out, x, count, alpha);
  else if (alpha == 1.0) mapWide<Scale>(out, x, count, alpha);
  else if (alpha == -1.0) mapWide<Reciprocal>(out, x, count, alpha);
  else map<PowScalar>(out, x, count, alpha);
}

export function reluGrad(out: usize, y: usize, dy: usize, count: usize, alpha: f32): void {
  mapGradWide<ReluGrad>(out, y, dy, count, alpha);
}
export function leakyReluGrad(out: usize, y: usize, dy: usize, count: usize, alpha: f32): void {
  mapGradWide<LeakyReluGrad>(out, y, dy, count, alpha);
}
export function eluGrad(out: usize, y: usize, dy: usize, count: usize, alpha: f32): void {
  mapGradWide<EluGrad>(out, y, dy, count, alpha);
}
export function tanhGrad(out: usize, y: usize, dy: usize, count: usize, alpha: f32): void {
  mapGradWide<TanhGrad>(out, y, dy, count, alpha);
}
export function sigmoidGrad(out: usize, y: usize, dy: usize, count: usize, alpha: f32): void {
  mapGradWide<SigmoidGrad>(out, y, dy, count, alpha);
}
export function geluGrad(out: usize, x: usize, dy: usize, count: usize, alpha: f32): void {
  mapGrad<GeluGrad>(out, x, dy, count, alpha);
}
export function geluTanhGrad(out: usize, x: usize, dy: usize, count: usize, alpha: f32): void {
  mapGrad<GeluTanhGrad>(out, x, dy, count, alpha);
}
export function siluGrad(out: usize, x: usize, dy: usize, count: usize, alpha: f32): void {
  mapGrad<SiluGrad>(out, x, dy, count, alpha);
}
export function softplusGrad(out: usize, x: usize, dy: usize, count: usize, alpha: f32): void {
  mapGrad<SoftplusGrad>(out, x, dy, count, alpha);
}

/** out = min(max(x, low), high), NaN kept. */
export function clamp(out: usize, x: usize, count: usize, low: f32, high: f32): void {
  clampScaled4(out, x, count, 1.0, low, high);
}

/** out = min(max(x * scale, -limit), limit), NaN kept. */
export function clampScaled(out: usize, x: usize, count: usize, scale: f32, limit: f32): void {
  clampScaled4(out, x, count, scale, -limit, limit);
}

function clampScaled4(out: usize, x: usize, count: usize, scale: f32, low: f32, high: f32): void {
  const s = splat(scale);
  const l = splat(low);
  const h = splat(high);
  const end = x + ((count & ~3) << 2);
  while (x < end) {
    v128.store(out, atMost(atLeast(f32x4.mul(v128.load(x), s), l), h));
    x += 16;
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, atMost(atLeast(f32x4.mul(loadTail(x, rest, s), s), l), h));
}
