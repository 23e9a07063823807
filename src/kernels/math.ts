/**
 * Elementary functions in f64 from + - * / and views of bits only: the same bits on every JavaScript engine, unlike Math.exp,
 * Math.log, Math.cos, Math.tanh and ** (which differ between versions of V8). For scalars computed once a step: schedules, bias
 * corrections. Coefficients and argument reductions are those of Sun's fdlibm (e_exp.c, e_log.c, k_sin.c, k_cos.c).
 */

const f64 = new Float64Array(1);
const words = new Int32Array(f64.buffer);
/** Index of the half with sign and exponent: 1 on little-endian machines, which are all that Node runs on today. */
f64[0] = 1;
const HIGH = words[1] === 0x3ff00000 ? 1 : 0;

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** 2^k for -1022 <= k <= 1023. */
function powerOf2(k: number): number {
  words[HIGH] = (k + 1023) << 20;
  words[1 - HIGH] = 0;
  return f64[0];
}

/** y * 2^k, rounded once where the result is subnormal. */
function scaleByPowerOf2(y: number, k: number): number {
  const half = k >> 1;
  return y * powerOf2(half) * powerOf2(k - half);
}

/** e^x; error below one ulp. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709.782712893384) return Number.POSITIVE_INFINITY;
  if (x < -745.1332191019412) return 0;
  const k = Math.floor(x * Math.LOG2E + 0.5);
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const t = r * r;
  const p = 6.613756321437934e-5 + t * (-1.6533902205465252e-6 + t * 4.1381367970572385e-8);
  const c = r - t * (0.16666666666666602 + t * (-0.0027777777777015593 + t * p));
  const y = 1 - (low - (r * c) / (2 - c) - high);
  return scaleByPowerOf2(y, k);
}

/** Natural logarithm; error below one ulp. NaN for negative numbers, -infinity for 0. */
export function log(x: number): number {
  if (x === 0) return Number.NEGATIVE_INFINITY;
  if (!(x > 0)) return Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  let k = 0;
  let normal = x;
  if (x < 2.2250738585072014e-308) {
    normal = x * 18014398509481984; // 2^54
    k = -54;
  }
  f64[0] = normal;
  // x = m * 2^k with m in [sqrt(1/2), sqrt(2))
  const bits = words[HIGH] + (0x3ff00000 - 0x3fe6a09e);
  k += (bits >> 20) - 1023;
  words[HIGH] = (bits & 0x000fffff) + 0x3fe6a09e;
  const f = f64[0] - 1;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const even = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
  const odd = z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
  const halfSquare = 0.5 * f * f;
  return s * (halfSquare + odd + even) + k * LN2_LOW - halfSquare + f + k * LN2_HIGH;
}

function sinKernel(r: number): number {
  const z = r * r;
  const p = 2.7557313707070068e-6 + z * (-2.5050760253406863e-8 + z * 1.58969099521155e-10);
  return r + z * r * (-0.16666666666666632 + z * (0.00833333333332249 + z * (-0.0001984126982985795 + z * p)));
}

function cosKernel(r: number): number {
  const z = r * r;
  const p = -2.7557314351390663e-7 + z * (2.087572321298175e-9 + z * -1.1359647557788195e-11);
  const q = z * (0.0416666666666666 + z * (-0.001388888888887411 + z * (2.480158728947673e-5 + z * p)));
  const half = 0.5 * z;
  const w = 1 - half;
  return w + (1 - w - half + z * q);
}

/** sin(x + shift * pi/2) */
function sinShifted(x: number, shift: number): number {
  if (!(Math.abs(x) < 1647099)) {
    // 2^20 * pi / 2: beyond, the three parts of pi/2 below do not suffice; no schedule comes near.
    return Number.NaN;
  }
  const n = Math.floor(x * 0.6366197723675814 + 0.5);
  const r = x - n * 1.5707963267341256 - n * 6.077100506303966e-11 - n * 2.0222662487959506e-21;
  const quadrant = (n + shift) & 3;
  const value = quadrant & 1 ? cosKernel(r) : sinKernel(r);
  return quadrant & 2 ? -value : value;
}

/** sin(x) for |x| < 1.6e6, NaN beyond. */
export function sin(x: number): number {
  return sinShifted(x, 0);
}

/** cos(x) for |x| < 1.6e6, NaN beyond. */
export function cos(x: number): number {
  return sinShifted(x, 1);
}

/** Hyperbolic tangent: Lambert's continued fraction for small |x|, exponentials for large. */
export function tanh(x: number): number {
  const a = Math.abs(x);
  if (a < 0.5) {
    const z = x * x;
    let f = 17;
    for (let odd = 15; odd >= 1; odd -= 2) f = odd + z / f;
    return x / f;
  }
  const e = exp(-2 * a);
  const t = (1 - e) / (1 + e);
  return x < 0 ? -t : t;
}

/** What rounding took from the product p = a * b (Dekker; a and b below 2^970). */
function productError(a: number, b: number, p: number): number {
  const a2 = a * 134217729;
  const b2 = b * 134217729;
  const aHigh = a2 - (a2 - a);
  const bHigh = b2 - (b2 - b);
  const aLow = a - aHigh;
  const bLow = b - bHigh;
  return aHigh * bHigh - p + aHigh * bLow + aLow * bHigh + aLow * bLow;
}

/** Products of two numbers in here, and the terms of their errors, neither overflow nor vanish. */
const inRange = (x: number): boolean => x > 1e-140 && x < 1e140;

/** x^n for x, n >= 0 by repeated squaring in double-double, so that rounding does not grow with n. */
function integerPower(x: number, n: number): number {
  let high = 1;
  let low = 0;
  let baseHigh = x;
  let baseLow = 0;
  let left = n;
  for (; left > 0 && inRange(high) && inRange(baseHigh); left = Math.floor(left / 2)) {
    if (left % 2 === 1) {
      const p = high * baseHigh;
      low = productError(high, baseHigh, p) + (high * baseLow + low * baseHigh);
      high = p;
    }
    const square = baseHigh * baseHigh;
    baseLow = productError(baseHigh, baseHigh, square) + 2 * baseHigh * baseLow;
    baseHigh = square;
  }
  return left === 0 ? high + low : plainPower(high + low, baseHigh + baseLow, left);
}

function plainPower(start: number, base: number, n: number): number {
  let result = start;
  let power = base;
  for (let left = n; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result *= power;
    power *= power;
  }
  return result;
}

/**
 * x^y. Integer exponents by repeated squaring, good to an ulp (beta^t of Adam); others as exp(y log x), with a relative
 * error of about |y log x| ulp, and NaN for negative x.
 */
export function pow(x: number, y: number): number {
  if (y === 0 || x === 1) return 1;
  if (Number.isInteger(y)) {
    const magnitude = Math.abs(x);
    const sign = x < 0 && Math.abs(y) % 2 === 1 ? -1 : 1;
    if (y > 0) return sign * integerPower(magnitude, y);
    // In two factors: x^-y may overflow where x^y is still a subnormal number.
    const half = Math.floor(-y / 2);
    return (sign * (1 / integerPower(magnitude, half))) / integerPower(magnitude, -y - half);
  }
  return exp(y * log(x));
}

/** Upper 32 bits of the product of two unsigned 32-bit numbers. */
function mulHigh(a: number, b: number): number {
  const low = (a & 0xffff) * b;
  const high = (a >>> 16) * b;
  return Math.floor((high + Math.floor(low / 65536)) / 65536);
}

/**
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four random words from
 * four words of counter and two of key, written to `out`. Same bits as the wasm kernels.
 */
export function philox4x32(counter: ArrayLike<number>, key: ArrayLike<number>, out: Uint32Array): void {
  let x0 = counter[0] >>> 0;
  let x1 = counter[1] >>> 0;
  let x2 = counter[2] >>> 0;
  let x3 = counter[3] >>> 0;
  let k0 = key[0] >>> 0;
  let k1 = key[1] >>> 0;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(x0, 0xd2511f53);
    const high1 = mulHigh(x2, 0xcd9e8d57);
    const low0 = Math.imul(x0, 0xd2511f53);
    const low1 = Math.imul(x2, 0xcd9e8d57);
    x0 = (high1 ^ x1 ^ k0) >>> 0;
    x2 = (high0 ^ x3 ^ k1) >>> 0;
    x1 = low1 >>> 0;
    x3 = low0 >>> 0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}
