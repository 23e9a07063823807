import { createNode, numberAttr, optionError, requireF32, shapeError, showShape } from '../build.ts';
import type { Lowering, OpDef } from '../op.ts';
import type { Ref } from '../program.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { gradientsOfGradient } from './composed.ts';
import { constant } from './leaf.ts';
import { matmul } from './matmul.ts';
import { where } from './select.ts';
import { reshape, slice, transpose } from './shape.ts';
import { softmax } from './softmax.ts';
import { shift } from './strides.ts';
import { scale } from './unary.ts';

/**
 * Scaled dot-product attention (Vaswani et al., arXiv:1706.03762) on packed projections: either qkv [rows, positions, 3 width] or a
 * query [rows, positions, width] and its context's kv [rows, keys, 2 width]. Each head is a stretch of columns, and GEMMs read it where
 * it lies, by row strides: nothing is transposed or copied.
 *
 * Two ops: the weights, softmax(q k^T / sqrt(size)), which stop gradients; and the sum of the values, whose gradient goes
 * through the weights too, so that backward needs one pass over them. Queries are taken in blocks of BLOCK: under a causal
 * mask each block stops at its last visible key.
 */
const BLOCK = 64;

interface Layout {
  readonly rows: number;
  readonly heads: number;
  /** Columns of one head. */
  readonly size: number;
  readonly width: number;
  readonly queries: number;
  readonly keys: number;
  readonly causal: boolean;
  /** 1 for qkv, 2 for a query and its context. */
  readonly packed: 1 | 2;
}

function layoutOf(node: Tensor): Layout {
  const packed = numberAttr(node.attrs, 'packed') === 1 ? 1 : 2;
  const [first, second] = node.inputs;
  const [rows, queries, columns] = first.shape;
  const width = packed === 1 ? columns / 3 : columns;
  const heads = numberAttr(node.attrs, 'heads');
  const keys = packed === 1 ? queries : second.shape[1];
  return { rows, heads, size: width / heads, width, queries, keys, causal: node.attrs.causal === true, packed };
}

/** Where head `h` of row `b` lies in a packed tensor, and its row stride. */
interface Operand {
  at(b: number, h: number, position: number): Ref;
  readonly stride: number;
}

function operands(l: Layout, first: Ref, second: Ref): { q: Operand; k: Operand; v: Operand } {
  const operand = (base: Ref, positions: number, stride: number, column: number): Operand => ({
    at: (b, h, position) => shift(base, (b * positions + position) * stride + column + h * l.size),
    stride,
  });
  const [queries, keys, w] = [l.queries, l.keys, l.width];
  if (l.packed === 1) {
    const part = (i: number): Operand => operand(first, queries, 3 * w, i * w);
    return { q: part(0), k: part(1), v: part(2) };
  }
  return {
    q: operand(first, queries, w, 0),
    k: operand(second, keys, 2 * w, 0),
    v: operand(second, keys, 2 * w, w),
  };
}

interface Block {
  /** First query and their number. */
  readonly from: number;
  readonly count: number;
  /** Keys that they see, from 0. */
  readonly seen: number;
}

function blocksOf({ queries, keys, causal }: Layout): Block[] {
  if (!causal) return [{ from: 0, count: queries, seen: keys }];
  const blocks: Block[] = [];
  for (let from = 0; from < queries; from += BLOCK) {
    const count = Math.min(BLOCK, queries - from);
    blocks.push({ from, count, seen: from + count });
  }
  return blocks;
}

/** All heads of one row after the other: what one step of a row writes is in the cache when the next reads it. */
function eachRow({ rows, heads }: Layout, f: (b: number, eachHead: (g: (h: number) => void) => void) => void): void {
  for (let b = 0; b < rows; b++) {
    f(b, (g) => {
      for (let h = 0; h < heads; h++) g(h);
    });
  }
}

/** Rows of the weights of head h, row b. */
function weightsAt(l: Layout, base: Ref, b: number, h: number, query: number): Ref {
  return shift(base, ((b * l.heads + h) * l.queries + query) * l.keys);
}

/** Multiply-adds of one product of all heads, counted as 2. */
function productFlops(l: Layout): number {
  const pairs = blocksOf(l).reduce((sum, { count, seen }) => sum + count * seen, 0);
  return 2 * l.rows * l.heads * l.size * pairs;
}

/** Inputs qkv or query and kv, then the mask [rows, keys] where attrs.masked. -> [rows, heads, queries, keys]. */
const attentionWeightsOp: OpDef = {
  name: 'attentionWeights',
  bySample: true,
  infer(inputs, attrs) {
    const packed = numberAttr(attrs, 'packed');
    const [rows, queries] = inputs[0].shape;
    return { shape: [rows, numberAttr(attrs, 'heads'), queries, inputs[packed - 1].shape[1]], dtype: 'f32' };
  },
  lower(node, lowering) {
    const l = layoutOf(node);
    const { q, k } = operands(l, lowering.input(0), lowering.input(l.packed - 1));
    const { heads, queries, keys } = l;
    eachRow(l, (b, eachHead) => {
      eachHead((h) => {
        for (const { from, count, seen } of blocksOf(l)) {
          lowering.gemm({
            transA: false, transB: true, m: count, n: seen, k: l.size, a: q.at(b, h, from), lda: q.stride,
            b: k.at(b, h, 0), ldb: k.stride, beta: 0, c: weightsAt(l, lowering.out, b, h, from), ldc: keys,
          }); // biome-ignore format: grouped by operand
        }
      });
      const scores = weightsAt(l, lowering.out, b, 0, 0);
      const mask = node.attrs.masked === true ? shift(lowering.input(l.packed), b * keys) : 0;
      const causal = Number(l.causal);
      lowering.call('attentionSoftmax', scores, scores, mask, 1, heads, queries, keys, scaleOf(l), causal, BLOCK);
    });
  },
  rows: [0, 1, 2],
  tileRows: () => 1,
  flops: (node) => productFlops(layoutOf(node)),
};

function scaleOf({ size }: Layout): number {
  return 1 / Math.sqrt(size);
}

/** Inputs qkv or query and kv, then the weights. -> [rows, queries, width]. */
const attentionOp: OpDef = {
  name: 'attention',
  bySample: true,
  infer(inputs, attrs) {
    const [rows, queries, columns] = inputs[0].shape;
    return { shape: [rows, queries, numberAttr(attrs, 'packed') === 1 ? columns / 3 : columns], dtype: 'f32' };
  },
  gradient(node, up) {
    const { packed } = layoutOf(node);
    const grad = (wanted: number): Tensor =>
      createNode(attentionGradOp, [...node.inputs, up], { ...node.attrs, wanted });
    return packed === 1 ? [grad(0), undefined] : [grad(0), grad(1), undefined];
  },
  lower(node, lowering) {
    const l = layoutOf(node);
    const { v } = operands(l, lowering.input(0), lowering.input(l.packed - 1));
    const weights = lowering.input(l.packed);
    eachRow(l, (b, eachHead) =>
      eachHead((h) => {
        for (const { from, count, seen } of blocksOf(l)) {
          const c = shift(lowering.out, (b * l.queries + from) * l.width + h * l.size);
          lowering.gemm({
            transA: false, transB: false, m: count, n: l.size, k: seen, a: weightsAt(l, weights, b, h, from), lda: l.keys,
            b: v.at(b, h, 0), ldb: v.stride, beta: 0, c, ldc: l.width,
          }); // biome-ignore format: grouped by operand
        }
      }),
    );
  },
  rows: [0, 1, 2],
  flops: (node) => productFlops(layoutOf(node)),
};

/** Inputs as of attention, then dy: the gradient of input `attrs.wanted`, of all that is packed in it. */
const attentionGradOp: OpDef = {
  name: 'attentionGrad',
  bySample: true,
  infer: (inputs, attrs) => ({ shape: inputs[numberAttr(attrs, 'wanted')].shape, dtype: 'f32' }),
  gradient(node, up, differentiate) {
    const { packed } = layoutOf(node);
    const inputs = node.inputs.slice(0, packed);
    const [weights, dy] = node.inputs.slice(packed);
    const mask = weights.attrs.masked === true ? weights.inputs[packed] : undefined;
    const wanted = numberAttr(node.attrs, 'wanted');
    const found = gradientsOfGradient(differentiate, (x) => plain(x, mask, layoutOf(node)), inputs, dy, wanted, up);
    return [...found.slice(0, packed), undefined, found[packed]];
  },
  lower(node, lowering) {
    const l = layoutOf(node);
    const [first, second] = [lowering.input(0), lowering.input(l.packed - 1)];
    const { q, k, v } = operands(l, first, second);
    const weights = lowering.input(l.packed);
    const dy = lowering.input(l.packed + 1);
    const { heads, queries, keys } = l;
    const scores = lowering.scratch(heads * queries * keys); // of one row
    const at = (matrix: Ref, h: number, query: number): Ref => weightsAt(l, matrix, 0, h, query);
    const wanted = numberAttr(node.attrs, 'wanted');
    const d = operands(l, lowering.out, lowering.out);
    eachRow(l, (b, eachHead) => {
      const own = weightsAt(l, weights, b, 0, 0);
      const dyAt = (h: number, query: number): Ref => shift(dy, (b * queries + query) * l.width + h * l.size);
      eachHead((h) => {
        for (const { from, count, seen } of blocksOf(l)) {
          lowering.gemm({
            transA: false, transB: true, m: count, n: seen, k: l.size, a: dyAt(h, from), lda: l.width,
            b: v.at(b, h, 0), ldb: v.stride, beta: 0, c: at(scores, h, from), ldc: keys,
          }); // biome-ignore format: grouped by operand
        }
      });
      const causal = Number(l.causal);
      lowering.call('attentionSoftmaxGrad', scores, own, scores, 1, heads, queries, keys, scaleOf(l), causal, BLOCK);
      eachHead((h) => {
        if (wanted === 0) lowerQueryGradient({ lowering, l, b, h }, (query) => at(scores, h, query), k, d.q);
        if (wanted === l.packed - 1) {
          const head = { lowering, l, b, h };
          lowerKeyGradient(
            head,
            (query) => at(scores, h, query),
            (query) => q.at(b, h, query),
            q.stride,
            d.k,
          );
          lowerKeyGradient(
            head,
            (query) => at(own, h, query),
            (query) => dyAt(h, query),
            l.width,
            d.v,
          );
        }
      });
    });
  },
  flops(node) {
    const l = layoutOf(node);
    return productFlops(l) * (l.packed === 1 ? 4 : numberAttr(node.attrs, 'wanted') === 0 ? 2 : 3);
  },
};

interface Head {
  readonly lowering: Lowering;
  readonly l: Layout;
  readonly b: number;
  readonly h: number;
}

/** dq = ds k. */
function lowerQueryGradient(
  { lowering, l, b, h }: Head,
  scores: (query: number) => Ref,
  k: Operand,
  to: Operand,
): void {
  for (const { from, count, seen } of blocksOf(l)) {
    lowering.gemm({
      transA: false, transB: false, m: count, n: l.size, k: seen, a: scores(from), lda: l.keys,
      b: k.at(b, h, 0), ldb: k.stride, beta: 0, c: to.at(b, h, from), ldc: to.stride,
    }); // biome-ignore format: grouped by operand
  }
}

/** matrix^T x: dk = ds^T q and dv = p^T dy. The last block sees all keys and writes, the others add to their first ones. */
function lowerKeyGradient(
  { lowering, l, b, h }: Head,
  matrix: (query: number) => Ref,
  x: (query: number) => Ref,
  stride: number,
  to: Operand,
): void {
  for (const [i, { from, count, seen }] of blocksOf(l).reverse().entries()) {
    lowering.gemm({
      transA: true, transB: false, m: seen, n: l.size, k: count, a: matrix(from), lda: l.keys,
      b: x(from), ldb: stride, beta: i === 0 ? 0 : 1, c: to.at(b, h, 0), ldc: to.stride,
    }); // biome-ignore format: grouped by operand
  }
}

/** The definition in plain ops, for gradients of gradients. */
function plain(inputs: readonly Tensor[], mask: Tensor | undefined, l: Layout): Tensor {
  const { rows, heads, size, width, queries, keys } = l;
  const [query, context] = l.packed === 1 ? [inputs[0], inputs[0]] : inputs;
  const first = l.packed === 1 ? 1 : 0;
  const split = (x: Tensor, part: number, positions: number): Tensor =>
    transpose(reshape(slice(x, 2, part * width, (part + 1) * width), [rows, positions, heads, size]), [0, 2, 1, 3]);
  const k = split(context, first, keys);
  let scores = scale(matmul(split(query, 0, queries), transpose(k, [0, 1, 3, 2])), scaleOf(l));
  const hidden = constant(-1e30);
  if (l.causal) {
    const visible = Array.from({ length: queries * keys }, (_, i) => Number(i % keys <= Math.floor(i / keys)));
    scores = where(constant(visible, [queries, keys]), scores, hidden);
  }
  if (mask) scores = where(reshape(mask, [rows, 1, 1, keys]), scores, hidden);
  const values = matmul(softmax(scores), split(context, first + 1, keys));
  return reshape(transpose(values, [0, 2, 1, 3]), [rows, queries, width]);
}

export const ATTENTION_OPS: readonly OpDef[] = [attentionWeightsOp, attentionOp, attentionGradOp];

export interface AttentionOptions {
  /** Number of heads; divides the width. */
  readonly heads: number;
  /** Query i sees keys 0 to i only. Default false. */
  readonly causal?: boolean;
  /** [rows, keys] (f32): keys whose mask is 0 are not seen (padding). A query that sees no key gets 0. Default: none. */
  readonly mask?: Tensor;
}

/**
 * Attention of a sequence to itself: qkv [rows, positions, 3 width], queries, keys and values side by side ->
 * [rows, positions, width]. Throws E_SHAPE, E_DTYPE, E_OPTION.
 */
export function selfAttention(qkv: Tensor, options: AttentionOptions): Tensor {
  checkRank('selfAttention', 'an input [rows, positions, 3 width]', qkv.shape, 3);
  return attend('selfAttention', [qkv], qkv.shape[2] / 3, options);
}

/**
 * Attention of queries [rows, queries, width] to a context kv [rows, keys, 2 width], keys and values side by side ->
 * [rows, queries, width]. Throws E_SHAPE, E_DTYPE, E_OPTION.
 */
export function crossAttention(query: Tensor, kv: Tensor, options: AttentionOptions): Tensor {
  checkRank('crossAttention', 'a query [rows, queries, width]', query.shape, 1);
  checkRank('crossAttention', 'a context [rows, keys, 2 width]', kv.shape, 2);
  const [rows, queries, width] = query.shape;
  if (kv.shape[0] !== rows || kv.shape[2] !== 2 * width) {
    const fix = 'project the context to keys and values as wide as the query';
    throw shapeError('crossAttention', `a context [${rows}, keys, ${2 * width}]`, showShape(kv.shape), fix);
  }
  if (options.causal === true && kv.shape[1] !== queries) {
    const fix = 'leave causal out: positions of two sequences have no common order';
    throw shapeError('crossAttention', `${queries} keys for a causal mask`, String(kv.shape[1]), fix);
  }
  return attend('crossAttention', [query, kv], width, options);
}

function checkRank(op: string, expected: string, shape: Shape, parts: number): void {
  if (shape.length === 3 && shape[2] % parts === 0) return;
  throw shapeError(op, expected, showShape(shape), 'project the sequence with one dense layer');
}

function attend(op: string, inputs: readonly Tensor[], width: number, options: AttentionOptions): Tensor {
  const { heads, causal = false, mask } = options;
  requireF32(op, inputs);
  if (!Number.isInteger(heads) || heads < 1 || width % heads !== 0) {
    throw optionError(op, `a number of heads that divides the width ${width}`, heads, 'change heads or the width');
  }
  const context = inputs[inputs.length - 1];
  if (mask !== undefined) {
    requireF32(`${op}: mask`, [mask]);
    const expected = context.shape.slice(0, 2);
    if (showShape(mask.shape) !== showShape(expected)) {
      throw shapeError(
        `${op}: mask`,
        showShape(expected),
        showShape(mask.shape),
        'give 1 or 0 for each key of each row',
      );
    }
  }
  const attrs = { packed: inputs.length, heads, causal };
  const masked = mask !== undefined;
  const weights = createNode(attentionWeightsOp, masked ? [...inputs, mask] : inputs, { ...attrs, masked });
  return createNode(attentionOp, [...inputs, weights], attrs);
}
