import type { Activation } from '../../kernels/table.ts';
import { createNode, requireF32, shapeError, showShape } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Attrs, Shape, Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { biasActivation, defaultAlpha } from './activation.ts';
import { sumTo } from './reduce.ts';
import { reshape } from './shape.ts';
import { broadcastShapes, broadcastStrides, shift } from './strides.ts';

interface Gemm {
  transA: boolean;
  transB: boolean;
  m: number;
  n: number;
  k: number;
  /** Row strides as stored. */
  lda: number;
  ldb: number;
}

/** Sizes of the product of the last two axes, after the transposes that the attributes ask for. */
function gemmSizes(a: Shape, b: Shape, attrs: Attrs): Gemm {
  const [transA, transB] = [attrs.transA === true, attrs.transB === true];
  const [rowsA, columnsA] = a.slice(-2);
  const [rowsB, columnsB] = b.slice(-2);
  const [m, k] = transA ? [columnsA, rowsA] : [rowsA, columnsA];
  const [inner, n] = transB ? [columnsB, rowsB] : [rowsB, columnsB];
  if (k !== inner) {
    throw shapeError(
      'matmul',
      `a left side with ${inner} columns for a right side of ${inner} rows`,
      `${showShape(transA ? [...a.slice(0, -2), m, k] : a)} x ${showShape(transB ? [...b.slice(0, -2), inner, n] : b)}`,
      'make the last axis on the left equal to the last but one on the right',
    );
  }
  return { transA, transB, m, n, k, lda: columnsA, ldb: columnsB };
}

/** Gradients of C = op(A) op(B): again products, with other transposes. */
function productGradients(node: Tensor, up: Tensor, product: (a: Tensor, b: Tensor, attrs: Attrs) => Tensor): Tensor[] {
  const [a, b] = node.inputs;
  const [transA, transB] = [node.attrs.transA === true, node.attrs.transB === true];
  const dA = transA
    ? product(b, up, { transA: transB, transB: true })
    : product(up, b, { transA: false, transB: !transB });
  const dB = transB
    ? product(up, a, { transA: true, transB: transA })
    : product(a, up, { transA: !transA, transB: false });
  return [dA, dB];
}

const matmulOp: OpDef = {
  name: 'matmul',
  infer(inputs, attrs) {
    requireF32('matmul', inputs);
    const { m, n } = gemmSizes(inputs[0].shape, inputs[1].shape, attrs);
    return { shape: [m, n], dtype: 'f32' };
  },
  gradient: (node, up) => productGradients(node, up, (a, b, attrs) => createNode(matmulOp, [a, b], attrs)),
  lower(node, l) {
    const sizes = gemmSizes(node.inputs[0].shape, node.inputs[1].shape, node.attrs);
    l.gemm({ ...sizes, a: l.input(0), b: l.input(1), beta: 0, c: l.out, ldc: sizes.n });
  },
  flops(node) {
    const { m, n, k } = gemmSizes(node.inputs[0].shape, node.inputs[1].shape, node.attrs);
    return 2 * m * n * k;
  },
};

/** One GEMM for each matrix of the batch; batch axes broadcast. */
const batchMatmulOp: OpDef = {
  name: 'batchMatmul',
  infer(inputs, attrs) {
    requireF32('matmul', inputs);
    const [a, b] = inputs.map((x) => x.shape);
    const { m, n } = gemmSizes(a, b, attrs);
    return { shape: [...broadcastShapes('matmul', a.slice(0, -2), b.slice(0, -2)), m, n], dtype: 'f32' };
  },
  gradient(node, up) {
    const gradients = productGradients(node, up, (a, b, attrs) => createNode(batchMatmulOp, [a, b], attrs));
    return gradients.map((g, i) => sumTo(g, node.inputs[i].shape));
  },
  lower(node, l) {
    const [a, b] = node.inputs.map((x) => x.shape);
    const sizes = gemmSizes(a, b, node.attrs);
    const batch = node.shape.slice(0, -2);
    const [strideA, strideB] = [a, b].map((shape) => broadcastStrides(shape.slice(0, -2), batch));
    const index = batch.map(() => 0);
    for (let i = 0; i < sizeOf(batch); i++) {
      const at = (strides: readonly number[]): number => index.reduce((sum, n, d) => sum + n * strides[d], 0);
      l.gemm({
        ...sizes,
        a: shift(l.input(0), at(strideA) * sizes.m * sizes.k),
        b: shift(l.input(1), at(strideB) * sizes.k * sizes.n),
        beta: 0,
        c: shift(l.out, i * sizes.m * sizes.n),
        ldc: sizes.n,
      });
      for (let d = batch.length - 1; d >= 0 && ++index[d] === batch[d]; d--) index[d] = 0;
    }
  },
  flops(node) {
    const { m, n, k } = gemmSizes(node.inputs[0].shape, node.inputs[1].shape, node.attrs);
    return 2 * m * n * k * sizeOf(node.shape.slice(0, -2));
  },
};

export const MATMUL_OPS: readonly OpDef[] = [matmulOp, batchMatmulOp];

/** Without a transpose of the last two axes, which GEMM does for nothing. */
function untransposed(x: Tensor): [source: Tensor, transposed: boolean] {
  if (x.op !== 'transpose') return [x, false];
  const rank = x.shape.length;
  const swapped = x.shape.map((_, d) => (d < rank - 2 ? d : 2 * rank - 3 - d));
  const [source] = x.inputs;
  return transposeEquals(x, swapped) ? [source, true] : [x, false];
}

function transposeEquals(x: Tensor, permutation: readonly number[]): boolean {
  return JSON.stringify(x.attrs.permutation) === JSON.stringify(permutation);
}

/**
 * Matrix product of the last two axes: [..., m, k] x [..., k, n] -> [..., m, n]. Batch axes broadcast; a right side of rank 2
 * is shared by the whole batch and makes one GEMM. Throws E_SHAPE.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  requireF32('matmul', [a, b]);
  for (const x of [a, b]) {
    if (x.shape.length >= 2) continue;
    throw shapeError('matmul', 'tensors of rank 2 or more', showShape(x.shape), 'reshape vectors to [1, n] or [n, 1]');
  }
  if (b.shape.length === 2 && a.shape.length > 2) {
    gemmSizes(a.shape, b.shape, {});
    const rows = reshape(a, [-1, a.shape[a.shape.length - 1]]);
    return reshape(matmul(rows, b), [...a.shape.slice(0, -1), b.shape[1]]);
  }
  const [left, transA] = untransposed(a);
  const [right, transB] = untransposed(b);
  const def = a.shape.length === 2 && b.shape.length === 2 ? matmulOp : batchMatmulOp;
  return createNode(def, [left, right], { transA, transB });
}

/**
 * activation(x weight + bias): x [..., in], weight [in, out], bias [out] -> [..., out]. One GEMM over all leading axes and
 * one pass for bias and activation. `alpha` is the slope of leakyRelu (default 0.01) or elu (1). Throws E_SHAPE.
 */
export function linear(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  activation: Activation = 'linear',
  alpha: number = defaultAlpha(activation),
): Tensor {
  requireF32('linear', bias === undefined ? [x, weight] : [x, weight, bias]);
  const inputs = x.shape.at(-1);
  if (weight.shape.length !== 2 || weight.shape[0] !== inputs || x.shape.length < 1) {
    throw shapeError(
      'linear',
      `a weight of shape [${inputs}, out] for x ${showShape(x.shape)}`,
      showShape(weight.shape),
      'make the first axis of the weight equal to the last axis of x',
    );
  }
  const z = matmul(reshape(x, [-1, weight.shape[0]]), weight);
  return reshape(biasActivation(z, bias, activation, alpha), [...x.shape.slice(0, -1), weight.shape[1]]);
}
