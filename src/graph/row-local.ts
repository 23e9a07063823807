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

/**
 * Whether a program for n rows computes each row by itself until the very end, where gradients and sums add the rows up: then
 * the rows of several shards may go through it together and only the ends be taken shard by shard (row-groups.ts). Each tensor
 * is 'rows' (sample i owns the i-th of n equal stretches of its memory), 'free' (of no row: parameters, constants) or spoils it.
 */
export function isRowLocal(order: readonly Tensor[], roots: Roots, rows: number): boolean {
  const ends = new Set(roots.gradients.filter((g) => g !== undefined).map(storage));
  const kinds = new Map<Tensor, 'rows' | 'free'>();
  const isRows = (x: Tensor): boolean => kinds.get(x) === 'rows';
  for (const node of order) {
    if (node.inputs.some((x) => ends.has(storage(x)) && !opOf(node.op).alias)) return false; // an end that goes on
    if (ends.has(node)) {
      if (!endsRows(node, isRows)) return false;
      continue;
    }
    if (ends.has(storage(node))) continue; // an end under another shape
    const kind = kindOf(node, rows, isRows);
    if (!kind) return false;
    kinds.set(node, kind);
  }
  if (!roots.lookups.flat().every(({ ids, gradient }) => isRows(ids) && isRows(gradient))) return false;
  const counts = (x: Tensor): boolean => x.op === 'constant' && sizeOf(x.shape) <= 2;
  return roots.sums.every(({ value, weight }) =>
    weight === undefined ? isRows(value) || counts(value) : isRows(value) && isRows(weight),
  );
}

function storage(x: Tensor): Tensor {
  let at = x;
  while (opOf(at.op).alias) at = at.inputs[0];
  return at;
}

/** Gradients that can be taken over some of the rows: X^T Y, and column sums. */
function endsRows(node: Tensor, isRows: (x: Tensor) => boolean): boolean {
  if (!node.inputs.every(isRows)) return false;
  if (node.op === 'matmul') return node.attrs.transA === true && node.attrs.transB !== true;
  return node.op === 'reduceSum' && node.attrs.from === 0;
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
