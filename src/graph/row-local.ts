import { BINARY, UNARY, UNARY_GRAD } from '../kernels/table.ts';
import { opOf } from './ops/table.ts';
import type { Roots } from './roots.ts';
import type { Shape, Tensor } from './tensor.ts';
import { sizeOf } from './tensor.ts';

/** Ops whose element i reads elements i of its inputs. */
const ELEMENTWISE: ReadonlySet<string> = new Set([
  ...UNARY, ...UNARY_GRAD, ...BINARY, 'where', 'clamp', 'cast', 'bceWithLogits', 'bceWithLogitsGrad', 'biasActivation',
]); // biome-ignore format: a list
/** Ops that work along the last axis. */
const ROW_WISE: ReadonlySet<string> = new Set([
  'softmax', 'logSoftmax', 'softmaxGrad', 'logSoftmaxGrad', 'softmaxCrossEntropy', 'softmaxCrossEntropyGrad', 'argmax', 'inTopK',
]); // biome-ignore format: a list

/** Inputs that are rows (x, statistics, dy); the others are weight and bias. */
const ROWS_OF_NORM = { normalize: 2, normalizeGrad: 3 } as const;

/** What lies in a tensor of a program for n rows, if the program is row-local. */
type Kind =
  /** Sample i owns the i-th of n equal stretches of its memory. */
  | 'rows'
  /** Of no row: parameters, constants. */
  | 'free'
  /** Adds the rows up, on the way to a gradient. */
  | 'end';

/**
 * Whether a program for n rows computes each row by itself until the very end, where gradients and sums add the rows up: then
 * the rows of several shards may go through it together and only the ends be taken shard by shard (row-groups.ts). Gives the
 * tensors that are ends, or undefined.
 */
export function findEnds(order: readonly Tensor[], roots: Roots, rows: number): ReadonlySet<Tensor> | undefined {
  const kinds = new Map<Tensor, Kind>();
  const isRows = (x: Tensor): boolean => kinds.get(x) === 'rows';
  const isEnd = (x: Tensor): boolean => kinds.get(x) === 'end';
  for (const node of order) {
    const kind = node.inputs.some(isEnd)
      ? afterEnds(node, isRows)
      : endsRows(node, isRows)
        ? 'end'
        : kindOf(node, rows, isRows);
    if (!kind) return undefined;
    kinds.set(node, kind);
  }
  const gradients = roots.gradients.filter((g) => g !== undefined);
  if (!gradients.every(isEnd) || roots.outputs.some(({ value }) => isEnd(value))) return undefined;
  if (!roots.lookups.flat().every(({ ids, gradient }) => isRows(ids) && isRows(gradient))) return undefined;
  const counts = (x: Tensor): boolean => x.op === 'constant' && sizeOf(x.shape) <= 2;
  const sums = roots.sums.every(({ value, weight }) =>
    weight === undefined ? isRows(value) || counts(value) : isRows(value) && isRows(weight),
  );
  return sums ? new Set(order.filter(isEnd)) : undefined;
}

/** Sums of gradients (tied weights) and their other shapes are computed for each shard. */
function afterEnds(node: Tensor, isRows: (x: Tensor) => boolean): 'end' | undefined {
  return node.inputs.some(isRows) ? undefined : 'end';
}

/** Gradients that can be taken over some of the rows: X^T Y, column sums, rows of a table. */
function endsRows(node: Tensor, isRows: (x: Tensor) => boolean): boolean {
  if (node.inputs.length === 0 || !node.inputs.every(isRows)) return false;
  switch (node.op) {
    case 'matmul':
      return node.attrs.transA === true && node.attrs.transB !== true;
    case 'reduceSum':
      return node.attrs.from === 0;
    case 'scatterAdd':
    case 'normalizeScaleGrad':
      return true;
    default:
      return false;
  }
}

function kindOf(node: Tensor, rows: number, isRows: (x: Tensor) => boolean): 'rows' | 'free' | undefined {
  const { op, inputs, attrs, shape } = node;
  if (op === 'input') return 'rows';
  if (!inputs.some(isRows)) {
    // Made of parameters and constants: the same for all rows, unless it was spread over them.
    return op === 'broadcastTo' && shape[0] % rows === 0 && spreads(inputs[0].shape, shape) ? 'rows' : 'free';
  }
  if (sizeOf(shape) % rows !== 0) return undefined;
  const keeps = (() => {
    if (ELEMENTWISE.has(op))
      return inputs.every((x) => (isRows(x) ? sameShape(x.shape, shape) : sharedByRows(x, shape)));
    if (ROW_WISE.has(op)) {
      const leading = inputs[0].shape.slice(0, -1);
      return isRows(inputs[0]) && inputs[0].shape.length >= 2 && inputs.every((x) => followsRows(x, leading, isRows));
    }
    if (opOf(op).bySample) return inputs.every(isRows) && inputs.every((x) => x.shape[0] === rows) && shape[0] === rows;
    switch (op) {
      case 'reshape':
      case 'stopGradient':
      case 'dropout':
        return true;
      case 'matmul':
        return isRows(inputs[0]) && !isRows(inputs[1]) && attrs.transA !== true;
      case 'reduceSum':
      case 'reduceMean':
      case 'reduceMax':
      case 'reduceMin':
        return Number(attrs.from) >= 1;
      case 'normStats':
        return true;
      case 'normalize':
      case 'normalizeGrad':
        return inputs.every((x, i) => isRows(x) === i < ROWS_OF_NORM[op]);
      case 'gather':
        return !isRows(inputs[0]) && isRows(inputs[1]);
      case 'broadcastTo':
        return inputs[0].shape.length === shape.length && inputs[0].shape[0] === shape[0];
      default:
        return false;
    }
  })();
  return keeps ? 'rows' : undefined;
}

function followsRows(x: Tensor, leading: Shape, isRows: (x: Tensor) => boolean): boolean {
  if (!isRows(x)) return 'value' in x.attrs;
  return sizeOf(x.shape.slice(0, leading.length)) === sizeOf(leading);
}

/** An operand that is the same for every row: uniform, or broadcast along axis 0. */
function sharedByRows(x: Tensor, shape: Shape): boolean {
  return 'value' in x.attrs || spreads(x.shape, shape);
}

function spreads(from: Shape, to: Shape): boolean {
  return from.length < to.length || from[0] === 1;
}

function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}
