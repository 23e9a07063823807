/**
 * The contract of this folder: every numeric kernel by name, with its signature.
 *
 * All pointers are byte addresses in the arena (one shared linear memory); all tensors are dense, row-major,
 * 64-byte aligned; `f32` and `i32` elements are 4 bytes, `f64` sums 8. Counts are elements, never bytes.
 * Kernels allocate nothing, keep no state, and may be called by several threads on disjoint outputs.
 * Unless a line says otherwise `out` may equal an input of the same shape (in place).
 *
 * Implementations: assembly/ (AssemblyScript, two wasm files) and reference.ts (the slow oracle of the tests).
 * Same kernel + same operands = same bytes, on any thread.
 */
export type Pointer = number;

/** Elementwise, one operand: (out, x, count, alpha). `alpha` is the op's own number (slope, exponent ...) or 0. */
export type UnaryKernel = (out: Pointer, x: Pointer, count: number, alpha: number) => void;

/**
 * Gradient of an activation: (out, saved, dy, count, alpha). `saved` is the activation's output y for relu, leakyRelu, elu,
 * tanh, sigmoid, and its input x for gelu, silu, softplus.
 */
export type UnaryGradKernel = (out: Pointer, saved: Pointer, dy: Pointer, count: number, alpha: number) => void;

/**
 * Elementwise, two operands over a [outer, inner] grid: out[i,j] = f(a[i*aOuter + j*aInner], b[i*bOuter + j*bInner]).
 * Outer strides are any number of elements, inner strides are 0 or 1. Same shape: outer = 1. A bias row: bOuter = 0.
 * A column: bInner = 0. Comparisons give 1 or 0.
 */
export type BinaryKernel = (
  out: Pointer,
  a: Pointer,
  b: Pointer,
  outer: number,
  inner: number,
  aOuter: number,
  aInner: number,
  bOuter: number,
  bInner: number,
) => void;

/** x as [outer, length, inner] reduced over `length` to out [outer, inner]; `out` must not overlap x. */
export type ReduceKernel = (out: Pointer, x: Pointer, outer: number, length: number, inner: number) => void;

/**
 * One fused optimizer pass, in place on `param` and its slots (unused slots are 0): see src/optim for each rule.
 * `scalars` points to f64 numbers that the optimizer definition filled (its `scalarNames` gives the order;
 * the first two are always gradScale and lr). Few rules have a fourth slot: it comes last.
 */
export type OptimizerKernel = (
  param: Pointer,
  grad: Pointer,
  slot0: Pointer,
  slot1: Pointer,
  slot2: Pointer,
  count: number,
  scalars: Pointer,
  slot3?: Pointer,
) => void;

/**
 * The same rule on some rows of a table: `param` and slots are [tableRows, width], `grad` is [rows, width], the gradients of the
 * rows that `ids` (i32 [rows], distinct) name. Other rows are neither read nor written.
 */
export type SparseOptimizerKernel = (
  param: Pointer,
  grad: Pointer,
  ids: Pointer,
  rows: number,
  width: number,
  slot0: Pointer,
  slot1: Pointer,
  scalars: Pointer,
) => void;

export const UNARY = [
  'neg', 'exp', 'log', 'sqrt', 'abs', 'square', 'reciprocal', 'sign', 'floor', 'sin', 'cos', 'erf',
  'tanh', 'sigmoid', 'relu', 'leakyRelu', 'elu', 'gelu', 'geluTanh', 'silu', 'softplus',
  'scale', 'addScalar', 'powScalar',
] as const; // biome-ignore format: a table
export const UNARY_GRAD = [
  'reluGrad', 'leakyReluGrad', 'eluGrad', 'tanhGrad', 'sigmoidGrad', 'geluGrad', 'geluTanhGrad', 'siluGrad', 'softplusGrad',
] as const; // biome-ignore format: a table
export const BINARY = [
  'add', 'sub', 'mul', 'div', 'pow', 'minimum', 'maximum',
  'equal', 'notEqual', 'less', 'lessEqual', 'greater', 'greaterEqual',
] as const; // biome-ignore format: a table
export const REDUCE = ['reduceSum', 'reduceMean', 'reduceMax', 'reduceMin'] as const;
export const OPTIMIZER_KERNELS = [
  'sgd', 'momentum', 'nesterov', 'adagrad', 'rmsprop', 'rmspropMomentum', 'rmspropCentered', 'rmspropCenteredMomentum', 'adam', 'adamw',
  'amsgrad', 'adamax', 'nadam', 'radam', 'adabelief', 'yogi', 'adan', 'prodigy', 'swats',
  'adadelta', 'lion', 'asgd', 'rprop', 'sophia', 'scheduleFreeSgd', 'scheduleFreeAdamw',
] as const; // biome-ignore format: a table
export const SPARSE_OPTIMIZER_KERNELS = ['sgdRows', 'adagradRows', 'adamRows'] as const;
export const RECURRENT = ['rnnStep', 'rnnStepGrad', 'lstmStep', 'lstmStepGrad', 'gruStep', 'gruStepGrad'] as const;

/** Codes of the activations that `biasActivation` fuses. */
export const ACTIVATION_CODES = {
  linear: 0, relu: 1, leakyRelu: 2, elu: 3, tanh: 4, sigmoid: 5, gelu: 6, geluTanh: 7, silu: 8, softplus: 9,
} as const; // biome-ignore format: a table
export type Activation = keyof typeof ACTIVATION_CODES;

export type KernelTable = Record<(typeof UNARY)[number], UnaryKernel> &
  Record<(typeof UNARY_GRAD)[number], UnaryGradKernel> &
  Record<(typeof BINARY)[number], BinaryKernel> &
  Record<(typeof REDUCE)[number], ReduceKernel> &
  Record<(typeof OPTIMIZER_KERNELS)[number], OptimizerKernel> &
  Record<(typeof SPARSE_OPTIMIZER_KERNELS)[number], SparseOptimizerKernel> & {
    /** out[i] = value. */
    fill(out: Pointer, value: number, count: number): void;
    /** Integer fill. */
    fillI32(out: Pointer, value: number, count: number): void;
    /** Copies `count` 4-byte elements (f32 or i32); ranges may overlap. */
    copy(out: Pointer, x: Pointer, count: number): void;
    /** out[i] = f32(x[i]) from i32. */
    i32ToF32(out: Pointer, x: Pointer, count: number): void;
    /** out[i] = condition[i] != 0 ? a[i] : b[i]. */
    where(out: Pointer, condition: Pointer, a: Pointer, b: Pointer, count: number): void;
    /** out[i] = min(max(x[i], low), high). */
    clamp(out: Pointer, x: Pointer, count: number, low: number, high: number): void;
    /**
     * Moves 4-byte elements of a `rank`-dimensional box: out[sum i_d * outStrides[d]] = x[sum i_d * inStrides[d]].
     * dims, inStrides, outStrides are i32 arrays of length rank (strides in elements, may be 0 in x). No overlap.
     * Transpose, slice, pad, concat, stack and broadcast are all this one kernel.
     */
    stridedCopy(out: Pointer, x: Pointer, rank: number, dims: Pointer, inStrides: Pointer, outStrides: Pointer): void;
    /** out[i,j] = activation(z[i,j] + bias[j]), z [rows, columns]; bias = 0 means no bias. In place allowed. */
    biasActivation(
      out: Pointer,
      z: Pointer,
      bias: Pointer,
      rows: number,
      columns: number,
      code: number,
      alpha: number,
    ): void;
    /** out[i] = index (i32) of the first largest element of row i of x [rows, columns]. */
    argmax(out: Pointer, x: Pointer, rows: number, columns: number): void;
    /** out[i] = 1 where fewer than k elements of row i of x [rows, columns] are > x[i, labels[i]] (f32), else 0. */
    inTopK(out: Pointer, x: Pointer, labels: Pointer, rows: number, columns: number, k: number): void;
    softmax(out: Pointer, x: Pointer, rows: number, columns: number): void;
    logSoftmax(out: Pointer, x: Pointer, rows: number, columns: number): void;
    /** out = y * (dy - sum(y * dy)) by row. */
    softmaxGrad(out: Pointer, y: Pointer, dy: Pointer, rows: number, columns: number): void;
    /** out = dy - exp(y) * sum(dy) by row, y = logSoftmax(x). */
    logSoftmaxGrad(out: Pointer, y: Pointer, dy: Pointer, rows: number, columns: number): void;
    /** out [rows, 2]: mean of each row of x [rows, columns] (0 unless centre is 1), 1 / sqrt(mean of (x - mean)^2 + epsilon). */
    normStats(out: Pointer, x: Pointer, rows: number, columns: number, epsilon: number, centre: number): void;
    /** out = (x - mean) * rstd * weight + bias, stats from normStats; weight, bias [columns], each 0 if there is none. */
    normalize(
      out: Pointer, x: Pointer, stats: Pointer, weight: Pointer, bias: Pointer, rows: number, columns: number,
    ): void; // biome-ignore format: one line reads better
    /** out = rstd * (g - mean(g) - xhat * mean(g * xhat)) by row, g = dy * weight; mean(g) only if centre is 1. */
    normalizeGrad(
      out: Pointer, x: Pointer, stats: Pointer, weight: Pointer, dy: Pointer, rows: number, columns: number, centre: number,
    ): void; // biome-ignore format: one line reads better
    /** out[j] = sum over rows of dy * (x - mean) * rstd; `out` must not overlap the operands. */
    normalizeScaleGrad(out: Pointer, x: Pointer, stats: Pointer, dy: Pointer, rows: number, columns: number): void;
    /**
     * Attention: out = softmax(scale * x) along the keys of x [batch, heads, queries, keys]. Where causal is 1, query i sees keys 0 to i,
     * and of row i only the keys before the end of its `block` of rows are defined: written, 0 behind i. Keys whose mask [batch, keys]
     * is 0 get 0 (mask = 0: no mask); so does a row that sees none.
     */
    attentionSoftmax(
      out: Pointer, x: Pointer, mask: Pointer, batch: number, heads: number, queries: number, keys: number, scale: number,
      causal: number, block: number,
    ): void; // biome-ignore format: one line reads better
    /** out = scale * p * (dp - sum(p * dp)) by row, over the same elements. */
    attentionSoftmaxGrad(
      out: Pointer, p: Pointer, dp: Pointer, batch: number, heads: number, queries: number, keys: number, scale: number,
      causal: number, block: number,
    ): void; // biome-ignore format: one line reads better
    /**
     * out[i] = cross-entropy of row i of logits [rows, columns] with label labels[i] (i32), smoothed by `smoothing`:
     * (1 - smoothing) * nll(label) + smoothing * mean over classes of nll. A label outside [0, columns) gives NaN.
     */
    softmaxCrossEntropy(
      out: Pointer,
      logits: Pointer,
      labels: Pointer,
      rows: number,
      columns: number,
      smoothing: number,
    ): void;
    /** out[i,j] = dLoss[i] * (softmax(logits)[i,j] - target[i,j]); in place on logits allowed. */
    softmaxCrossEntropyGrad(
      out: Pointer, logits: Pointer, labels: Pointer, dLoss: Pointer, rows: number, columns: number, smoothing: number,
    ): void; // biome-ignore format: one line reads better
    /** out[i] = max(z,0) - z*t + log(1 + exp(-|z|)). */
    bceWithLogits(out: Pointer, z: Pointer, target: Pointer, count: number): void;
    /** out[i] = dy[i] * (sigmoid(z[i]) - t[i]). */
    bceWithLogitsGrad(out: Pointer, z: Pointer, target: Pointer, dy: Pointer, count: number): void;
    /** out[i,:] = table[indices[i],:], i32 indices clamped into [0, tableRows) (they are checked when data is loaded). */
    gatherRows(out: Pointer, table: Pointer, indices: Pointer, rows: number, width: number, tableRows: number): void;
    /** table[indices[i],:] += dy[i,:] in order of i, after table [tableRows, width] was set to zero by this call. */
    scatterAddRows(table: Pointer, dy: Pointer, indices: Pointer, rows: number, width: number, tableRows: number): void;
    /**
     * What scatterAddRows gives, without the rows that are zero: the distinct indices in ascending order and a row for each. `list`
     * points to a header of three u32: count (written), addresses of i32 ids [count] and of rows [count, width], f32.
     * `scratch`: 4 * count + 256 words.
     */
    listRows(
      list: Pointer, indices: Pointer, dy: Pointer, count: number, width: number, tableRows: number, scratch: Pointer,
    ): void; // biome-ignore format: one line reads better
    /**
     * Gradient tree over lists of rows: rows of equal ids are added in the order of the tree whose leaves are the lists, `perShard`
     * (a power of two) of each of `shards`; headers lie 64 bytes apart, those of a shard `stride` bytes from those of the
     * next. The ids are cut into `buckets` ranges of about equal numbers of entries; this call does ranges first..end-1: it writes
     * where each begins and how many rows it has to places [buckets, 2] (i32), ids and rows from there on. Which
     * ranges a call does changes no bit. `scratch`: mergeScratchBytes(shards * perShard, width).
     */
    mergeRowLists(
      lists: Pointer, stride: number, shards: number, perShard: number, first: number, end: number, buckets: number,
      places: Pointer, ids: Pointer, rows: Pointer, width: number, scratch: Pointer,
    ): void; // biome-ignore format: grouped by operand

    /**
     * One time step of a recurrent layer. States (h, c and the like) are [rows, hidden], gates [rows, gates * hidden], one gate
     * behind another, biases [gates * hidden]. `mask` (f32 [rows], or 0 for none): a row whose number is 0 keeps its state.
     *
     * h = tanh(z + bias), or relu where code is 1.
     */
    rnnStep(
      h: Pointer, z: Pointer, bias: Pointer, hPrevious: Pointer, mask: Pointer, rows: number, hidden: number, code: number,
    ): void; // biome-ignore format: grouped by operand
    /**
     * Backwards: `dh` holds the gradient from later time steps, `dOut` (or 0) that of this step's output. dz may be the memory of z.
     * With a mask, dh is left as what goes past the step beside the GEMM: dh + dOut in masked rows, 0 in others.
     */
    rnnStepGrad(
      dz: Pointer, h: Pointer, dh: Pointer, dOut: Pointer, mask: Pointer, rows: number, hidden: number, code: number,
    ): void; // biome-ignore format: grouped by operand
    /**
     * LSTM: gates i, f, g, o (z + bias before, their activations afterwards); c = f cPrevious + i g, tanhC = tanh(c),
     * h = o tanhC.
     */
    lstmStep(
      h: Pointer, c: Pointer, tanhC: Pointer, gates: Pointer, bias: Pointer, hPrevious: Pointer, cPrevious: Pointer,
      mask: Pointer, rows: number, hidden: number,
    ): void; // biome-ignore format: grouped by operand
    /** Backwards, as rnnStepGrad; `dc` goes from time step to time step in place, dGates may be gates. */
    lstmStepGrad(
      dGates: Pointer, gates: Pointer, dh: Pointer, dc: Pointer, dOut: Pointer, tanhC: Pointer, cPrevious: Pointer,
      mask: Pointer, rows: number, hidden: number,
    ): void; // biome-ignore format: grouped by operand
    /**
     * GRU: r, z, n; with x = gates + bias and y = recurrent + biasRecurrent: r = sigmoid(x + y), z = sigmoid(x + y),
     * n = tanh(x + r y), h = (1 - z) n + z hPrevious. Afterwards gates holds r, z, n and the third of recurrent y.
     */
    gruStep(
      h: Pointer, gates: Pointer, recurrent: Pointer, bias: Pointer, biasRecurrent: Pointer, hPrevious: Pointer, mask: Pointer,
      rows: number, hidden: number,
    ): void; // biome-ignore format: grouped by operand
    /** Backwards, in place allowed as above; dh is left as what goes past the step beside the GEMM, with or without mask. */
    gruStepGrad(
      dGates: Pointer, dRecurrent: Pointer, gates: Pointer, recurrent: Pointer, dh: Pointer, dOut: Pointer, hPrevious: Pointer,
      mask: Pointer, rows: number, hidden: number,
    ): void; // biome-ignore format: grouped by operand

    /**
     * Windows of `images` images as rows of a matrix: out [images, outHeight, outWidth, kernelHeight, runs, run], where out[n, i, j, k, r, c]
     * is x[n * imageStride + i * rowStride + j * positionStride + k * kernelRowStride + r * runStride + c]. `geometry` points to ten
     * i32: imageStride, outHeight, rowStride, outWidth, positionStride, kernelHeight, kernelRowStride, runs, runStride, run
     * (strides in elements).
     */
    im2col(out: Pointer, x: Pointer, images: number, geometry: Pointer): void;
    /** Its adjoint: adds each element of `columns` to the element of x that im2col copies it from, in order. */
    col2im(x: Pointer, columns: Pointer, images: number, geometry: Pointer): void;
    /**
     * Convolution of each channel with a filter of its own, w [kernelHeight, runs, run]: out [images, outHeight, outWidth, run] is the sum
     * over k and r of the element that im2col copies times w[k, r, c]; geometry as there.
     */
    depthwise(out: Pointer, x: Pointer, w: Pointer, images: number, geometry: Pointer): void;
    /** Its gradient: adds dy times w to the elements of dx that were read. */
    depthwiseGradInput(dx: Pointer, dy: Pointer, w: Pointer, images: number, geometry: Pointer): void;
    /** Adds the gradient of w to dw. */
    depthwiseGradWeight(dw: Pointer, x: Pointer, dy: Pointer, images: number, geometry: Pointer): void;

    /**
     * Pooling of x [images, height, width, channels] to out [images, outHeight, outWidth, channels], over the part of each window that
     * lies in the image. `geometry` points to eleven i32: height, width, channels, outHeight, outWidth, kernelHeight, kernelWidth,
     * strideHeight, strideWidth, padTop, padLeft. Every window has an element. No overlap of out and inputs.
     */
    maxPool(out: Pointer, x: Pointer, images: number, geometry: Pointer): void;
    /** out = the element of v [like x] where x has the (first) maximum of the window. */
    maxPoolPick(out: Pointer, x: Pointer, v: Pointer, images: number, geometry: Pointer): void;
    /** dx = 0; then dy of each window is added to dx where x has the (first) maximum of the window. */
    maxPoolGrad(dx: Pointer, x: Pointer, dy: Pointer, images: number, geometry: Pointer): void;
    avgPool(out: Pointer, x: Pointer, images: number, geometry: Pointer): void;
    /** dx = 0; then dy / (elements of the window) is added to every element of the window. */
    avgPoolGrad(dx: Pointer, dy: Pointer, images: number, geometry: Pointer): void;

    /**
     * Normalisation by channel of x [outer, channels, inner]; sums by channel are f64 [2 channels + 1]: of a, of a * b, and the number
     * of elements of a channel. channelSums(x, x) are the moments that batchNorm reads, channelSums(dy, x) the sums of
     * its gradients.
     */
    channelSums(out: Pointer, a: Pointer, b: Pointer, outer: number, channels: number, inner: number): void;
    /** out = (x - mean) / sqrt(variance + epsilon) * gamma + beta; variance by n. `scratch`: 3 * channels floats. */
    batchNorm(
      out: Pointer, x: Pointer, gamma: Pointer, beta: Pointer, moments: Pointer,
      outer: number, channels: number, inner: number, epsilon: number, scratch: Pointer,
    ): void; // biome-ignore format: grouped by operand
    /** Its gradient by x. `scratch`: 4 * channels floats. */
    batchNormGrad(
      out: Pointer, x: Pointer, dy: Pointer, gamma: Pointer, moments: Pointer, sums: Pointer,
      outer: number, channels: number, inner: number, epsilon: number, scratch: Pointer,
    ): void; // biome-ignore format: grouped by operand
    /** Its gradient by gamma (which 0) or beta (which 1), f32 [channels]. */
    batchNormParameterGrad(
      out: Pointer, moments: Pointer, sums: Pointer, channels: number, epsilon: number, which: number,
    ): void; // biome-ignore format: one line reads better
    /** As batchNorm, with a given mean and variance [channels]. `scratch`: channels floats. */
    batchNormInference(
      out: Pointer, x: Pointer, gamma: Pointer, beta: Pointer, mean: Pointer, variance: Pointer,
      outer: number, channels: number, inner: number, epsilon: number, scratch: Pointer,
    ): void; // biome-ignore format: grouped by operand

    /** Data: out[i,:] = data[ids[i],:] for f32 or i32 columns. */
    gatherWords(out: Pointer, data: Pointer, ids: Pointer, rows: number, width: number): void;
    /** Data: out[i,j] = data[ids[i] * stride + j] for f32 or i32 elements: rows may overlap. */
    gatherWindows(out: Pointer, data: Pointer, ids: Pointer, rows: number, width: number, stride: number): void;
    /** Data: out[i,j] = data[ids[i],j] (u8) * scale + shift as f32. */
    gatherBytes(
      out: Pointer,
      data: Pointer,
      ids: Pointer,
      rows: number,
      width: number,
      scale: number,
      shift: number,
    ): void;

    /**
     * Inverted dropout: out[i] = keep ? x[i] / (1 - rate) : 0. The mask is Philox4x32-10 of key (key[0], key[1]) and counter
     * ((first + i) / 4, salt, key[2], key[3]), lane (first + i) % 4; `key` points to four i32: seed low, seed high, step, shard.
     * keep = uniform in [0,1) >= rate. The gradient is the same call on dy.
     */
    dropout(out: Pointer, x: Pointer, count: number, rate: number, key: Pointer, salt: number, first: number): void;
    /** out[i] = low + (high - low) * uniform [0,1), Philox as in dropout with (key0, key1), counter ((first+i)/4, salt, c2, c3). */
    randomUniform(
      out: Pointer, count: number, key0: number, key1: number, salt: number, c2: number, c3: number, first: number, low: number, high: number,
    ): void; // biome-ignore format: one line reads better
    /** Normal numbers by Box-Muller from the same stream (lanes 0,1 and 2,3 are pairs). */
    randomNormal(
      out: Pointer, count: number, key0: number, key1: number, salt: number, c2: number, c3: number, first: number, mean: number, std: number,
    ): void; // biome-ignore format: one line reads better

    /** f64: *out = sum of x. Fixed order, whatever the caller. */
    sumF64(out: Pointer, x: Pointer, count: number): void;
    /** f64: *out = sum of x[i] * weight[i]. */
    dotF64(out: Pointer, x: Pointer, weight: Pointer, count: number): void;

    /** Gradient tree: out = a + b. */
    addPartials(out: Pointer, a: Pointer, b: Pointer, count: number): void;
    /** Gradient tree: out = (a + b) + (c + d), the bits of three addPartials. */
    addPartials4(out: Pointer, a: Pointer, b: Pointer, c: Pointer, d: Pointer, count: number): void;
    /** Squared norm of x in f64; NaN or infinite if any element is. Lane order depends on `count` only. */
    squaredNorm(x: Pointer, count: number): number;
    /** out = min(max(x * scale, -limit), limit): clipping by value after the weights were divided out. NaN stays NaN. */
    clampScaled(out: Pointer, x: Pointer, count: number, scale: number, limit: number): void;

    /**
     * Network: a checksum of `blocks` of CHECKSUM_BLOCK bytes. The block's 32 words are lanes; each starts as `seed`, and takes a word x by
     * h = rotl(h xor x, 13) * 0x9E3779B1. The lanes are taken in like manner, in order, by a word that starts as `seed`.
     */
    checksum(x: Pointer, blocks: number, seed: number): number;
    /**
     * Network: the checksum of a run of bytes that come in any cuts, which are copied to `out` where it is not 0. `state`: CHECKSUM_STATE
     * bytes, i32: a word for each lane, the beginning of a block, the sum so far, bytes that the lanes have taken, bytes that are still
     * to come of the run. After each 32 KiB, and at the end, when zeros fill the block, the sum takes the lanes, which begin again as it.
     */
    checksumTake(state: Pointer, out: Pointer, x: Pointer, length: number): void;
    /** Network: out u16 [count], x rounded to bf16 (nearest, ties to even; NaN stays NaN). */
    bf16Encode(out: Pointer, x: Pointer, count: number): void;
    bf16Decode(out: Pointer, bytes: Pointer, count: number): void;
    /**
     * Network: takes out of x what int8 can say. Bytes: an f32 scale for each INT8_GROUP floats, the largest magnitude / 127; then an i8 for
     * each float. What remains in x is the error. A group with NaN or infinity has scale NaN and leaves zeros.
     */
    int8Take(out: Pointer, x: Pointer, count: number): void;
    /** x = what `bytes` say, or, with `add` 1, x += that: the very numbers that were taken. */
    int8Put(x: Pointer, bytes: Pointer, count: number, add: number): void;
    /**
     * As int8Take, in four bits: an f32 scale for each INT4_GROUP floats, the largest magnitude / 7; then for each group of n floats
     * ceil(n / 2) bytes, of which number j has float j in its lower half and float j + ceil(n / 2) in its upper.
     */
    int4Take(out: Pointer, x: Pointer, count: number): void;
    /** As int8Put. */
    int4Put(x: Pointer, bytes: Pointer, count: number, add: number): void;
    /**
     * Network: takes the `k` largest magnitudes out of x, of equals the first, NaN before all; at most 65536 elements. Bytes: f32 [k]
     * values, u16 [k] places, ascending. x keeps the others, but nothing that is not finite. `scratch`: TOPK_SCRATCH_BYTES.
     */
    topkTake(out: Pointer, x: Pointer, count: number, k: number, scratch: Pointer): void;
    /** As int8Put. Gives 0, and leaves x, when a place is not below `count` and above the one before it; else 1. */
    topkPut(x: Pointer, bytes: Pointer, count: number, k: number, add: number): number;

    /**
     * Row-major single-precision GEMM, C [m,n] = op(A) op(B) + beta * C with beta 0 or 1; op is transpose where the flag is 1.
     * lda, ldb, ldc are row strides in elements of A, B, C as stored. `scratch` points to GEMM_SCRATCH_BYTES of the calling
     * worker for packing. The WASM implementation; src/kernels/gemm.ts chooses between it and BLAS.
     */
    gemm(
      transA: number, transB: number, m: number, n: number, k: number,
      a: Pointer, lda: number, b: Pointer, ldb: number, beta: number, c: Pointer, ldc: number, scratch: Pointer,
    ): void; // biome-ignore format: grouped by operand
  };

export type KernelName = keyof KernelTable;

/** Bytes of the memory into which sockets read (checksum.ts). */
export const READING_BYTES = 256 * 1024 + 512;
/** Bytes of the state of a checksum that is taken bit by bit. */
export const CHECKSUM_STATE = 268;
/** Bytes that the checksum of the network takes at once. */
export const CHECKSUM_BLOCK = 128;

/** Bytes between the headers of two lists of rows. */
export const ROW_LIST_STRIDE = 64;

/** Scratch of mergeRowLists: a heap and a cursor for each list, a stack of 40 sums of which each may need a row. */
export function mergeScratchBytes(lists: number, width: number): number {
  return 12 * lists + 8 * 40 + 16 + 4 * 40 * width;
}

/** Floats that share a scale where the network carries int8. */
export const INT8_GROUP = 256;

/** And int4. */
export const INT4_GROUP = 128;

/** Scratch of topkTake: 2048 counts and a word. */
export const TOPK_SCRATCH_BYTES = 8192 + 64;

/** Scratch that each worker gives to the WASM GEMM for its packed panels. */
export const GEMM_SCRATCH_BYTES = 4 * 1024 * 1024;
