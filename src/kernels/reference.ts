import { batchNormKernels } from './reference-batch-norm.ts';
import { imageKernels } from './reference-images.ts';
import { optimizerKernels } from './reference-optimizers.ts';
import { recurrentKernels } from './reference-recurrent.ts';
import { rowListKernels } from './reference-row-lists.ts';
import { wireKernels } from './reference-wire.ts';
import type { BinaryKernel, KernelTable, Pointer, ReduceKernel, UnaryGradKernel, UnaryKernel } from './table.ts';
import { ACTIVATION_CODES } from './table.ts';

/**
 * Memory of the reference kernels. Pointers stay byte addresses, and each array indexes them by its own element:
 * real[p >> 2], int[p >> 2], sums[p >> 3]. The arrays may share one buffer (a WebAssembly.Memory, when real is f32) or be
 * apart, so that `real` can be f64 and a whole program runs in double precision at unchanged addresses.
 */
export interface ReferenceHeap {
  readonly real: Float32Array | Float64Array;
  readonly int: Int32Array;
  readonly sums: Float64Array;
}

/** A zeroed heap for addresses 0 .. bytes-1, in double precision unless `precision` says 'f32'. */
export function referenceHeap(bytes: number, precision: 'f32' | 'f64' = 'f64'): ReferenceHeap {
  const words = Math.ceil(bytes / 8) * 2;
  return {
    real: precision === 'f64' ? new Float64Array(words) : new Float32Array(words),
    int: new Int32Array(words),
    sums: new Float64Array(words / 2),
  };
}

/** Random123's Philox4x32-10: four 32-bit words of counter and two of key give four random words, into `out`. */
export function philox4x32(
  out: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  key0: number,
  key1: number,
): void {
  let [x0, x1, x2, x3] = [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
  let [k0, k1] = [key0 >>> 0, key1 >>> 0];
  for (let round = 0; round < 10; round++) {
    const p0 = BigInt(x0) * 0xd2511f53n;
    const p1 = BigInt(x2) * 0xcd9e8d57n;
    const [hi0, lo0] = [Number(p0 >> 32n), Number(p0 & 0xffffffffn)];
    const [hi1, lo1] = [Number(p1 >> 32n), Number(p1 & 0xffffffffn)];
    [x0, x1, x2, x3] = [(hi1 ^ x1 ^ k0) >>> 0, lo1, (hi0 ^ x3 ^ k1) >>> 0, lo0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}

/** erf by its series with positive terms only (Abramowitz & Stegun 7.1.6); 1 - erf(6) is below 2^-55. */
function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const gelu = (x: number): number => 0.5 * x * (1 + erf(x * Math.SQRT1_2));
const GELU_TANH_SCALE = Math.sqrt(2 / Math.PI);
const geluTanhInner = (x: number): number => GELU_TANH_SCALE * (x + 0.044715 * x * x * x);
const geluTanh = (x: number): number => 0.5 * x * (1 + Math.tanh(geluTanhInner(x)));

type Scalar = (x: number, alpha: number) => number;

const unary = {
  neg: (x) => -x,
  exp: (x) => Math.exp(x),
  log: (x) => Math.log(x),
  sqrt: (x) => Math.sqrt(x),
  abs: (x) => Math.abs(x),
  square: (x) => x * x,
  reciprocal: (x) => 1 / x,
  sign: (x) => Math.sign(x),
  floor: (x) => Math.floor(x),
  sin: (x) => Math.sin(x),
  cos: (x) => Math.cos(x),
  erf,
  tanh: (x) => Math.tanh(x),
  sigmoid,
  relu: (x) => Math.max(x, 0),
  leakyRelu: (x, alpha) => (x > 0 ? x : alpha * x),
  elu: (x, alpha) => (x > 0 ? x : alpha * Math.expm1(x)),
  gelu,
  geluTanh,
  silu: (x) => x * sigmoid(x),
  softplus,
  scale: (x, alpha) => x * alpha,
  addScalar: (x, alpha) => x + alpha,
  powScalar: (x, alpha) => x ** alpha,
} satisfies Record<string, Scalar>;

const activations: Record<number, Scalar> = {
  [ACTIVATION_CODES.linear]: (x) => x,
  [ACTIVATION_CODES.relu]: unary.relu,
  [ACTIVATION_CODES.leakyRelu]: unary.leakyRelu,
  [ACTIVATION_CODES.elu]: unary.elu,
  [ACTIVATION_CODES.tanh]: unary.tanh,
  [ACTIVATION_CODES.sigmoid]: unary.sigmoid,
  [ACTIVATION_CODES.gelu]: unary.gelu,
  [ACTIVATION_CODES.geluTanh]: unary.geluTanh,
  [ACTIVATION_CODES.silu]: unary.silu,
  [ACTIVATION_CODES.softplus]: unary.softplus,
};

/** Derivatives from what the forward pass saved: y for the first five, x for the others. */
const derivative = {
  reluGrad: (y) => (y > 0 ? 1 : 0),
  leakyReluGrad: (y, alpha) => (y > 0 ? 1 : alpha),
  eluGrad: (y, alpha) => (y > 0 ? 1 : y + alpha),
  tanhGrad: (y) => 1 - y * y,
  sigmoidGrad: (y) => y * (1 - y),
  geluGrad: (x) => 0.5 * (1 + erf(x * Math.SQRT1_2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI),
  geluTanhGrad: (x) => {
    const t = Math.tanh(geluTanhInner(x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_TANH_SCALE * (1 + 3 * 0.044715 * x * x);
  },
  siluGrad: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
  softplusGrad: (x) => sigmoid(x),
} satisfies Record<string, Scalar>;

const binary = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  pow: (a, b) => a ** b,
  minimum: (a, b) => Math.min(a, b),
  maximum: (a, b) => Math.max(a, b),
  equal: (a, b) => Number(a === b),
  notEqual: (a, b) => Number(a !== b),
  less: (a, b) => Number(a < b),
  lessEqual: (a, b) => Number(a <= b),
  greater: (a, b) => Number(a > b),
  greaterEqual: (a, b) => Number(a >= b),
} satisfies Record<string, (a: number, b: number) => number>;

/** Every kernel of the table as its definition says, over `heap`: the oracle of the tests. Never used to train. */
export function referenceKernels(heap: ReferenceHeap): KernelTable {
  const { real, int, sums } = heap;
  const bytes = new Uint8Array(int.buffer, int.byteOffset, int.byteLength);
  const oneBuffer = real.buffer === int.buffer;
  const words = new Uint32Array(4);

  const unaryKernel =
    (f: Scalar): UnaryKernel =>
    (out, x, count, alpha) => {
      for (let i = 0; i < count; i++) real[(out >> 2) + i] = f(real[(x >> 2) + i], alpha);
    };
  const unaryGradKernel =
    (f: Scalar): UnaryGradKernel =>
    (out, saved, dy, count, alpha) => {
      for (let i = 0; i < count; i++) real[(out >> 2) + i] = real[(dy >> 2) + i] * f(real[(saved >> 2) + i], alpha);
    };
  const binaryKernel =
    (f: (a: number, b: number) => number): BinaryKernel =>
    (out, a, b, outer, inner, aOuter, aInner, bOuter, bInner) => {
      for (let i = 0; i < outer; i++) {
        for (let j = 0; j < inner; j++) {
          const left = real[(a >> 2) + i * aOuter + j * aInner];
          const right = real[(b >> 2) + i * bOuter + j * bInner];
          real[(out >> 2) + i * inner + j] = f(left, right);
        }
      }
    };
  const reduceKernel =
    (start: number, f: (sum: number, x: number) => number, mean = false): ReduceKernel =>
    (out, x, outer, length, inner) => {
      for (let i = 0; i < outer; i++) {
        for (let j = 0; j < inner; j++) {
          let value = start;
          for (let l = 0; l < length; l++) value = f(value, real[(x >> 2) + (i * length + l) * inner + j]);
          real[(out >> 2) + i * inner + j] = mean ? value / length : value;
        }
      }
    };
  /** A row as plain numbers, read before anything is written (in-place calls). */
  const rowOf = (x: Pointer, i: number, columns: number): number[] =>
    Array.from(real.subarray((x >> 2) + i * columns, (x >> 2) + (i + 1) * columns));
  const rowKernel =
    (f: (row: number[]) => number[]) =>
    (out: Pointer, x: Pointer, rows: number, columns: number): void => {
      for (let i = 0; i < rows; i++) real.set(f(rowOf(x, i, columns)), (out >> 2) + i * columns);
    };
  const rowGradKernel =
    (f: (y: number[], dy: number[]) => number[]) =>
    (out: Pointer, y: Pointer, dy: Pointer, rows: number, columns: number): void => {
      for (let i = 0; i < rows; i++) real.set(f(rowOf(y, i, columns), rowOf(dy, i, columns)), (out >> 2) + i * columns);
    };
  const softmaxRow = (row: number[]): number[] => {
    const largest = Math.max(...row);
    const e = row.map((x) => Math.exp(x - largest));
    const total = e.reduce((sum, x) => sum + x, 0);
    return e.map((x) => x / total);
  };
  const logSoftmaxRow = (row: number[]): number[] => {
    const largest = Math.max(...row);
    const logTotal = Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0));
    return row.map((x) => x - largest - logTotal);
  };
  /** 4-byte moves know no element type: both views move unless they are the same memory. */
  const moveWord = (out: number, x: number): void => {
    int[out] = int[x];
    if (!oneBuffer) real[out] = real[x];
  };
  const uniform = (key0: number, key1: number, index: number, salt: number, c2: number, c3: number): number => {
    philox4x32(words, Math.floor(index / 4), salt, c2, c3, key0, key1);
    return (words[index % 4] >>> 8) / 2 ** 24;
  };

  const reduceSum = reduceKernel(0, (sum, x) => sum + x);
  return {
    neg: unaryKernel(unary.neg),
    exp: unaryKernel(unary.exp),
    log: unaryKernel(unary.log),
    sqrt: unaryKernel(unary.sqrt),
    abs: unaryKernel(unary.abs),
    square: unaryKernel(unary.square),
    reciprocal: unaryKernel(unary.reciprocal),
    sign: unaryKernel(unary.sign),
    floor: unaryKernel(unary.floor),
    sin: unaryKernel(unary.sin),
    cos: unaryKernel(unary.cos),
    erf: unaryKernel(unary.erf),
    tanh: unaryKernel(unary.tanh),
    sigmoid: unaryKernel(unary.sigmoid),
    relu: unaryKernel(unary.relu),
    leakyRelu: unaryKernel(unary.leakyRelu),
    elu: unaryKernel(unary.elu),
    gelu: unaryKernel(unary.gelu),
    geluTanh: unaryKernel(unary.geluTanh),
    silu: unaryKernel(unary.silu),
    softplus: unaryKernel(unary.softplus),
    scale: unaryKernel(unary.scale),
    addScalar: unaryKernel(unary.addScalar),
    powScalar: unaryKernel(unary.powScalar),

    reluGrad: unaryGradKernel(derivative.reluGrad),
    leakyReluGrad: unaryGradKernel(derivative.leakyReluGrad),
    eluGrad: unaryGradKernel(derivative.eluGrad),
    tanhGrad: unaryGradKernel(derivative.tanhGrad),
    sigmoidGrad: unaryGradKernel(derivative.sigmoidGrad),
    geluGrad: unaryGradKernel(derivative.geluGrad),
    geluTanhGrad: unaryGradKernel(derivative.geluTanhGrad),
    siluGrad: unaryGradKernel(derivative.siluGrad),
    softplusGrad: unaryGradKernel(derivative.softplusGrad),

    add: binaryKernel(binary.add),
    sub: binaryKernel(binary.sub),
    mul: binaryKernel(binary.mul),
    div: binaryKernel(binary.div),
    pow: binaryKernel(binary.pow),
    minimum: binaryKernel(binary.minimum),
    maximum: binaryKernel(binary.maximum),
    equal: binaryKernel(binary.equal),
    notEqual: binaryKernel(binary.notEqual),
    less: binaryKernel(binary.less),
    lessEqual: binaryKernel(binary.lessEqual),
    greater: binaryKernel(binary.greater),
    greaterEqual: binaryKernel(binary.greaterEqual),

    reduceSum,
    reduceMean: reduceKernel(0, (sum, x) => sum + x, true),
    reduceMax: reduceKernel(Number.NEGATIVE_INFINITY, Math.max),
    reduceMin: reduceKernel(Number.POSITIVE_INFINITY, Math.min),

    ...optimizerKernels(real, int, sums),
    ...recurrentKernels(heap),
    ...imageKernels(real, int),
    ...batchNormKernels(real, sums),

    fill(out, value, count) {
      real.fill(value, out >> 2, (out >> 2) + count);
    },
    fillI32(out, value, count) {
      int.fill(value, out >> 2, (out >> 2) + count);
    },
    copy(out, x, count) {
      int.copyWithin(out >> 2, x >> 2, (x >> 2) + count);
      if (!oneBuffer) real.copyWithin(out >> 2, x >> 2, (x >> 2) + count);
    },
    i32ToF32(out, x, count) {
      for (let i = 0; i < count; i++) real[(out >> 2) + i] = int[(x >> 2) + i];
    },
    where(out, condition, a, b, count) {
      for (let i = 0; i < count; i++) {
        real[(out >> 2) + i] = real[(condition >> 2) + i] !== 0 ? real[(a >> 2) + i] : real[(b >> 2) + i];
      }
    },
    clamp(out, x, count, low, high) {
      for (let i = 0; i < count; i++) real[(out >> 2) + i] = Math.min(Math.max(real[(x >> 2) + i], low), high);
    },
    stridedCopy(out, x, rank, dims, inStrides, outStrides) {
      const move = (axis: number, to: number, from: number): void => {
        if (axis === rank) {
          moveWord(to, from);
          return;
        }
        for (let i = 0; i < int[(dims >> 2) + axis]; i++) {
          move(axis + 1, to + i * int[(outStrides >> 2) + axis], from + i * int[(inStrides >> 2) + axis]);
        }
      };
      move(0, out >> 2, x >> 2);
    },
    biasActivation(out, z, bias, rows, columns, code, alpha) {
      const f = activations[code];
      for (let i = 0; i < rows * columns; i++) {
        real[(out >> 2) + i] = f(real[(z >> 2) + i] + (bias === 0 ? 0 : real[(bias >> 2) + (i % columns)]), alpha);
      }
    },
    argmax(out, x, rows, columns) {
      for (let i = 0; i < rows; i++) {
        const row = rowOf(x, i, columns);
        let best = 0;
        for (let j = 1; j < columns; j++) if (row[j] > row[best]) best = j;
        int[(out >> 2) + i] = best;
      }
    },
    inTopK(out, x, labels, rows, columns, k) {
      for (let i = 0; i < rows; i++) {
        const row = rowOf(x, i, columns);
        const own = row[int[(labels >> 2) + i]];
        real[(out >> 2) + i] = row.filter((value) => value > own).length < k ? 1 : 0;
      }
    },
    softmax: rowKernel(softmaxRow),
    logSoftmax: rowKernel(logSoftmaxRow),
    softmaxGrad: rowGradKernel((y, dy) => {
      const dot = y.reduce((sum, value, j) => sum + value * dy[j], 0);
      return y.map((value, j) => value * (dy[j] - dot));
    }),
    logSoftmaxGrad: rowGradKernel((y, dy) => {
      const total = dy.reduce((sum, value) => sum + value, 0);
      return y.map((value, j) => dy[j] - Math.exp(value) * total);
    }),
    normStats(out, x, rows, columns, epsilon, centre) {
      for (let i = 0; i < rows; i++) {
        const row = rowOf(x, i, columns);
        const mean = centre ? row.reduce((sum, value) => sum + value, 0) / columns : 0;
        const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / columns;
        real.set([mean, 1 / Math.sqrt(variance + epsilon)], (out >> 2) + 2 * i);
      }
    },
    normalize(out, x, stats, weight, bias, rows, columns) {
      for (let i = 0; i < rows; i++) {
        const [mean, rstd] = rowOf(stats, i, 2);
        for (let j = 0; j < columns; j++) {
          const scale = weight === 0 ? 1 : real[(weight >> 2) + j];
          const shift = bias === 0 ? 0 : real[(bias >> 2) + j];
          real[(out >> 2) + i * columns + j] = (real[(x >> 2) + i * columns + j] - mean) * rstd * scale + shift;
        }
      }
    },
    normalizeGrad(out, x, stats, weight, dy, rows, columns, centre) {
      for (let i = 0; i < rows; i++) {
        const [mean, rstd] = rowOf(stats, i, 2);
        const unit = rowOf(x, i, columns).map((value) => (value - mean) * rstd);
        const g = rowOf(dy, i, columns).map((value, j) => value * (weight === 0 ? 1 : real[(weight >> 2) + j]));
        const shift = centre ? g.reduce((sum, value) => sum + value, 0) / columns : 0;
        const slope = g.reduce((sum, value, j) => sum + value * unit[j], 0) / columns;
        real.set(g.map((value, j) => rstd * (value - shift - unit[j] * slope)), (out >> 2) + i * columns); // biome-ignore format: short
      }
    },
    normalizeScaleGrad(out, x, stats, dy, rows, columns) {
      real.fill(0, out >> 2, (out >> 2) + columns);
      for (let i = 0; i < rows; i++) {
        const [mean, rstd] = rowOf(stats, i, 2);
        for (let j = 0; j < columns; j++) {
          const at = i * columns + j;
          real[(out >> 2) + j] += real[(dy >> 2) + at] * (real[(x >> 2) + at] - mean) * rstd;
        }
      }
    },
    attentionSoftmax(out, x, mask, batch, heads, queries, keys, scale, causal, block) {
      for (let i = 0; i < batch * heads * queries; i++) {
        const [item, query] = [Math.floor(i / (heads * queries)), i % queries];
        const defined = causal ? Math.min(keys, (Math.floor(query / block) + 1) * block) : keys;
        const seen = (j: number): boolean =>
          (!causal || j <= query) && (mask === 0 || real[(mask >> 2) + item * keys + j] !== 0);
        const row = rowOf(x, i, keys).slice(0, defined).map((value, j) => (seen(j) ? scale * value : Number.NEGATIVE_INFINITY)); // biome-ignore format: short
        const none = row.every((value) => value === Number.NEGATIVE_INFINITY);
        real.set(none ? row.map(() => 0) : softmaxRow(row), (out >> 2) + i * keys);
      }
    },
    attentionSoftmaxGrad(out, p, dp, batch, heads, queries, keys, scale, causal, block) {
      for (let i = 0; i < batch * heads * queries; i++) {
        const query = i % queries;
        const defined = causal ? Math.min(keys, (Math.floor(query / block) + 1) * block) : keys;
        const seen = causal ? Math.min(keys, query + 1) : keys;
        const [y, dy] = [rowOf(p, i, keys).slice(0, seen), rowOf(dp, i, keys).slice(0, seen)];
        const dot = y.reduce((sum, value, j) => sum + value * dy[j], 0);
        const row = y.map((value, j) => scale * value * (dy[j] - dot));
        real.set([...row, ...new Array(defined - seen).fill(0)], (out >> 2) + i * keys);
      }
    },
    softmaxCrossEntropy(out, logits, labels, rows, columns, smoothing) {
      for (let i = 0; i < rows; i++) {
        const label = int[(labels >> 2) + i];
        const nll = logSoftmaxRow(rowOf(logits, i, columns)).map((value) => -value);
        const average = nll.reduce((sum, value) => sum + value, 0) / columns;
        const own = label >= 0 && label < columns ? nll[label] : Number.NaN;
        real[(out >> 2) + i] = (1 - smoothing) * own + (smoothing === 0 ? 0 : smoothing * average);
      }
    },
    softmaxCrossEntropyGrad(out, logits, labels, dLoss, rows, columns, smoothing) {
      for (let i = 0; i < rows; i++) {
        const label = int[(labels >> 2) + i];
        const upstream = real[(dLoss >> 2) + i];
        const valid = label >= 0 && label < columns;
        const gradient = softmaxRow(rowOf(logits, i, columns)).map((p, j) => {
          const target = (j === label ? 1 - smoothing : 0) + smoothing / columns;
          return valid ? upstream * (p - target) : Number.NaN;
        });
        real.set(gradient, (out >> 2) + i * columns);
      }
    },
    bceWithLogits(out, z, target, count) {
      for (let i = 0; i < count; i++) {
        const x = real[(z >> 2) + i];
        real[(out >> 2) + i] = Math.max(x, 0) - x * real[(target >> 2) + i] + Math.log1p(Math.exp(-Math.abs(x)));
      }
    },
    bceWithLogitsGrad(out, z, target, dy, count) {
      for (let i = 0; i < count; i++) {
        real[(out >> 2) + i] = real[(dy >> 2) + i] * (sigmoid(real[(z >> 2) + i]) - real[(target >> 2) + i]);
      }
    },
    gatherRows(out, table, indices, rows, width, tableRows) {
      for (let i = 0; i < rows; i++) {
        const row = Math.min(Math.max(int[(indices >> 2) + i], 0), tableRows - 1);
        for (let j = 0; j < width; j++) real[(out >> 2) + i * width + j] = real[(table >> 2) + row * width + j];
      }
    },
    scatterAddRows(table, dy, indices, rows, width, tableRows) {
      real.fill(0, table >> 2, (table >> 2) + tableRows * width);
      for (let i = 0; i < rows; i++) {
        const row = Math.min(Math.max(int[(indices >> 2) + i], 0), tableRows - 1);
        for (let j = 0; j < width; j++) real[(table >> 2) + row * width + j] += real[(dy >> 2) + i * width + j];
      }
    },
    ...rowListKernels(heap),
    ...wireKernels(heap),
    gatherWords(out, data, ids, rows, width) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < width; j++)
          moveWord((out >> 2) + i * width + j, (data >> 2) + int[(ids >> 2) + i] * width + j);
      }
    },
    gatherWindows(out, data, ids, rows, width, stride) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < width; j++) {
          moveWord((out >> 2) + i * width + j, (data >> 2) + int[(ids >> 2) + i] * stride + j);
        }
      }
    },
    gatherBytes(out, data, ids, rows, width, scale, shift) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < width; j++) {
          real[(out >> 2) + i * width + j] = bytes[data + int[(ids >> 2) + i] * width + j] * scale + shift;
        }
      }
    },
    dropout(out, x, count, rate, key, salt, first) {
      const [seedLow, seedHigh, step, shard] = int.subarray(key >> 2, (key >> 2) + 4);
      const threshold = Math.fround(rate); // the kernels get an f32: masks agree bit by bit
      for (let i = 0; i < count; i++) {
        const keep = uniform(seedLow, seedHigh, first + i, salt, step, shard) >= threshold;
        real[(out >> 2) + i] = keep ? real[(x >> 2) + i] / (1 - rate) : 0;
      }
    },
    randomUniform(out, count, key0, key1, salt, c2, c3, first, low, high) {
      for (let i = 0; i < count; i++) {
        real[(out >> 2) + i] = low + (high - low) * uniform(key0, key1, first + i, salt, c2, c3);
      }
    },
    randomNormal(out, count, key0, key1, salt, c2, c3, first, mean, std) {
      for (let i = 0; i < count; i++) {
        const pair = first + i - ((first + i) % 2);
        // 1 - u lies in (0, 1], where the logarithm is finite.
        const radius = Math.sqrt(-2 * Math.log(1 - uniform(key0, key1, pair, salt, c2, c3)));
        const angle = 2 * Math.PI * uniform(key0, key1, pair + 1, salt, c2, c3);
        real[(out >> 2) + i] = mean + std * radius * ((first + i) % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
      }
    },
    sumF64(out, x, count) {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += real[(x >> 2) + i];
      sums[out >> 3] = sum;
    },
    dotF64(out, x, weight, count) {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += real[(x >> 2) + i] * real[(weight >> 2) + i];
      sums[out >> 3] = sum;
    },
    addPartials(out, a, b, count) {
      for (let i = 0; i < count; i++) real[(out >> 2) + i] = real[(a >> 2) + i] + real[(b >> 2) + i];
    },
    addPartials4(out, a, b, c, d, count) {
      const round = real instanceof Float32Array ? Math.fround : (x: number): number => x;
      for (let i = 0; i < count; i++) {
        const left = round(real[(a >> 2) + i] + real[(b >> 2) + i]);
        real[(out >> 2) + i] = left + round(real[(c >> 2) + i] + real[(d >> 2) + i]);
      }
    },
    squaredNorm(x, count) {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += real[(x >> 2) + i] ** 2;
      return sum;
    },
    clampScaled(out, x, count, scale, limit) {
      for (let i = 0; i < count; i++) {
        real[(out >> 2) + i] = Math.min(Math.max(real[(x >> 2) + i] * scale, -limit), limit);
      }
    },
    gemm(transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let l = 0; l < k; l++) {
            const left = real[(a >> 2) + (transA ? l * lda + i : i * lda + l)];
            sum += left * real[(b >> 2) + (transB ? j * ldb + l : l * ldb + j)];
          }
          const at = (c >> 2) + i * ldc + j;
          real[at] = beta === 0 ? sum : sum + real[at];
        }
      }
    },
  };
}
