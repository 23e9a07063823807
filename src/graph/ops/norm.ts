import { createNode, numberAttr, optionError, requireF32, shapeError, showShape } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { div, mul, sub } from './binary.ts';
import { gradientsOfGradient } from './composed.ts';
import { constant } from './leaf.ts';
import { mean, sum } from './reduce.ts';
import { reshape } from './shape.ts';
import { addScalar, sqrt, square } from './unary.ts';

/**
 * Normalisation along the last axis in three ops: the statistics of each row, computed once for both passes; y from x, statistics,
 * weight and bias; and the gradients. The statistics stop gradients, because those of y count them already.
 */
const columnsOf = (x: Tensor): number => x.shape[x.shape.length - 1];
const rowsOf = (x: Tensor): number => sizeOf(x.shape) / columnsOf(x);

/** attrs: epsilon, centre (1: subtract the mean). [..., columns] -> [rows, 2]. */
const normStatsOp: OpDef = {
  name: 'normStats',
  infer: ([x]) => ({ shape: [rowsOf(x), 2], dtype: 'f32' }),
  lower(node, l) {
    const [x] = node.inputs;
    const [epsilon, centre] = [numberAttr(node.attrs, 'epsilon'), numberAttr(node.attrs, 'centre')];
    l.call('normStats', l.out, l.input(0), rowsOf(x), columnsOf(x), epsilon, centre);
  },
};

/** The definition in plain ops, for gradients of gradients. */
function plain(x: Tensor, weight: Tensor | undefined, node: Tensor): Tensor {
  const along = { axis: -1, keepDims: true };
  const centred = numberAttr(node.attrs, 'centre') === 1 ? sub(x, mean(x, along)) : x;
  const deviation = sqrt(addScalar(mean(square(centred), along), numberAttr(node.attrs, 'epsilon')));
  const unit = div(centred, deviation);
  return weight === undefined ? unit : mul(unit, weight);
}

/** Inputs x, statistics, then weight and bias where attrs.weighted, attrs.biased say so. */
const normalizeOp: OpDef = {
  name: 'normalize',
  infer: ([x]) => ({ shape: x.shape, dtype: 'f32' }),
  gradient(node, up) {
    const [x, stats, ...affine] = node.inputs;
    const { weighted, biased, epsilon, centre } = node.attrs;
    const weight = weighted === true ? affine[0] : undefined;
    const inputs = weight === undefined ? [x, stats, up] : [x, stats, up, weight];
    const gradients: (Tensor | undefined)[] = [createNode(normalizeGradOp, inputs, { epsilon, centre }), undefined];
    if (weight) gradients.push(createNode(normalizeScaleGradOp, [x, stats, up], { epsilon, centre }));
    if (biased === true) gradients.push(sum(reshape(up, [-1, columnsOf(x)]), { axis: 0 }));
    return gradients;
  },
  lower(node, l) {
    const [x] = node.inputs;
    const weighted = node.attrs.weighted === true;
    const weight = weighted ? l.input(2) : 0;
    const bias = node.attrs.biased === true ? l.input(weighted ? 3 : 2) : 0;
    l.call('normalize', l.out, l.input(0), l.input(1), weight, bias, rowsOf(x), columnsOf(x));
  },
  inPlace: [0],
};

/** Inputs x, statistics, dy and perhaps weight: the gradient of x. */
const normalizeGradOp: OpDef = {
  name: 'normalizeGrad',
  infer: ([x]) => ({ shape: x.shape, dtype: 'f32' }),
  gradient(node, up, differentiate) {
    const [x, , dy, weight] = node.inputs;
    const inputs = weight === undefined ? [x] : [x, weight];
    const found = gradientsOfGradient(differentiate, ([a, w]) => plain(a, w, node), inputs, dy, 0, up);
    const [toX, toDy] = [found[0], found[inputs.length]];
    return weight === undefined ? [toX, undefined, toDy] : [toX, undefined, toDy, found[1]];
  },
  lower(node, l) {
    const [x, , , weight] = node.inputs;
    const centre = numberAttr(node.attrs, 'centre');
    const scale = weight === undefined ? 0 : l.input(3);
    l.call('normalizeGrad', l.out, l.input(0), l.input(1), scale, l.input(2), rowsOf(x), columnsOf(x), centre);
  },
  inPlace: [2],
};

/** Inputs x, statistics, dy: the gradient of the weight. */
const normalizeScaleGradOp: OpDef = {
  name: 'normalizeScaleGrad',
  infer: ([x]) => ({ shape: [columnsOf(x)], dtype: 'f32' }),
  gradient(node, up, differentiate) {
    const [x, , dy] = node.inputs;
    const ones = constant(1, [columnsOf(x)]); // the weight enters linearly: any will do
    const [toX, , toDy] = gradientsOfGradient(differentiate, ([a, w]) => plain(a, w, node), [x, ones], dy, 1, up);
    return [toX, undefined, toDy];
  },
  lower(node, l) {
    const [x] = node.inputs;
    l.call('normalizeScaleGrad', l.out, l.input(0), l.input(1), l.input(2), rowsOf(x), columnsOf(x));
  },
};

export const NORM_OPS: readonly OpDef[] = [normStatsOp, normalizeOp, normalizeGradOp, normalizeScaleGradOp];

export interface NormOptions {
  /** Scale of each column, [columns]. Default: none. */
  readonly weight?: Tensor;
  /** Added to each column, [columns]. Default: none. */
  readonly bias?: Tensor;
  /** Added to the variance. Default 1e-5. */
  readonly epsilon?: number;
}

function norm(op: string, x: Tensor, centre: 0 | 1, { weight, bias, epsilon = 1e-5 }: NormOptions): Tensor {
  const affine = [weight, bias].filter((t) => t !== undefined);
  requireF32(op, [x, ...affine]);
  if (x.shape.length === 0) throw shapeError(op, 'an input [..., columns]', '[]', 'give rows to normalise');
  for (const t of affine) {
    if (t.shape.length === 1 && t.shape[0] === columnsOf(x)) continue;
    throw shapeError(op, `weight and bias of shape [${columnsOf(x)}]`, showShape(t.shape), 'give one for each column');
  }
  if (!(epsilon >= 0 && Number.isFinite(epsilon))) {
    throw optionError(op, 'an epsilon of at least 0', epsilon, 'use 1e-5 or so');
  }
  const stats = createNode(normStatsOp, [x], { epsilon, centre });
  const attrs = { epsilon, centre, weighted: weight !== undefined, biased: bias !== undefined };
  return createNode(normalizeOp, [x, stats, ...affine], attrs);
}

/**
 * Layer normalisation (Ba et al., arXiv:1607.06450) along the last axis: (x - mean) / sqrt(variance + epsilon) * weight + bias. The
 * variance divides by the number of columns, as in PyTorch. Throws E_SHAPE, E_DTYPE, E_OPTION.
 */
export function layerNorm(x: Tensor, options: NormOptions = {}): Tensor {
  return norm('layerNorm', x, 1, options);
}

/** RMS normalisation (Zhang & Sennrich, arXiv:1910.07467) along the last axis: x / sqrt(mean of x^2 + epsilon) * weight + bias. */
export function rmsNorm(x: Tensor, options: NormOptions = {}): Tensor {
  return norm('rmsNorm', x, 0, options);
}
