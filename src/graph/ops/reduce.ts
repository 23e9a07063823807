import type { REDUCE } from '../../kernels/table.ts';
import { createNode, normaliseAxis, numberAttr, requireF32 } from '../build.ts';
import type { Lowering, OpDef } from '../op.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { div, mul } from './binary.ts';
import { equal } from './compare.ts';
import { broadcastTo, reshape } from './shape.ts';
import { scale } from './unary.ts';

type ReduceName = (typeof REDUCE)[number];

export interface ReduceOptions {
  /** Axis or axes to reduce, negative from the end; default all. */
  axis?: number | readonly number[];
  /** Keep reduced axes with length 1. Default false. */
  keepDims?: boolean;
}

/** Each node reduces the neighbouring axes from..to-1; several groups are several nodes. */
function reduceOp(name: ReduceName, gradient: (x: Tensor, y: Tensor, up: Tensor, length: number) => Tensor): OpDef {
  const lengthOf = (node: Tensor): number => sizeOf(node.inputs[0].shape) / sizeOf(node.shape);
  return {
    name,
    infer(inputs, attrs) {
      requireF32(name, inputs);
      const shape = inputs[0].shape;
      const [from, to] = [numberAttr(attrs, 'from'), numberAttr(attrs, 'to')];
      return { shape: [...shape.slice(0, from), ...shape.slice(to)], dtype: 'f32' };
    },
    gradient(node, up) {
      const [x] = node.inputs;
      const [from, to] = [numberAttr(node.attrs, 'from'), numberAttr(node.attrs, 'to')];
      const kept = x.shape.map((size, d) => (d >= from && d < to ? 1 : size));
      return [gradient(x, reshape(node, kept), reshape(up, kept), lengthOf(node))];
    },
    lower(node: Tensor, l: Lowering) {
      const outer = sizeOf(node.shape.slice(0, numberAttr(node.attrs, 'from')));
      const inner = sizeOf(node.shape) / outer;
      l.call(name, l.out, l.input(0), outer, lengthOf(node), inner);
    },
  };
}

const stretch = (x: Tensor, _y: Tensor, up: Tensor): Tensor => broadcastTo(up, x.shape);

/** Elements equal to the extreme share its gradient equally. */
const share = (x: Tensor, y: Tensor, up: Tensor): Tensor => {
  const ties = equal(x, y);
  const axes = y.shape.flatMap((size, d) => (size === 1 && x.shape[d] !== 1 ? [d] : []));
  return mul(ties, div(up, sum(ties, { axis: axes, keepDims: true })));
};

const sumOp = reduceOp('reduceSum', stretch);
const meanOp = reduceOp('reduceMean', (x, y, up, length) => stretch(x, y, scale(up, 1 / length)));
const maxOp = reduceOp('reduceMax', share);
const minOp = reduceOp('reduceMin', share);

export const REDUCE_OPS: readonly OpDef[] = [sumOp, meanOp, maxOp, minOp];

function reduce(def: OpDef, label: string, x: Tensor, { axis, keepDims = false }: ReduceOptions): Tensor {
  requireF32(label, [x]);
  const listed = axis === undefined ? x.shape.map((_, d) => d) : [axis].flat();
  const axes = new Set(listed.map((a) => normaliseAxis(label, a, x.shape.length)));
  // An axis of length 1 changes nothing, so neighbours join across it.
  const wide = [...axes].filter((d) => x.shape[d] !== 1);
  let y = x;
  for (let d = x.shape.length - 1; d >= 0; d--) {
    if (!wide.includes(d)) continue;
    const to = d + 1;
    while (d > 0 && axes.has(d - 1)) d--;
    y = createNode(def, [y], { from: d, to });
  }
  return reshape(y, x.shape.flatMap((size, d) => (axes.has(d) ? (keepDims ? [1] : []) : [size]))); // biome-ignore format: short
}

/** Sum over axes (default all). */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce(sumOp, 'sum', x, options);
}
/** Mean over axes (default all). */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce(meanOp, 'mean', x, options);
}
/** Largest element over axes (default all); ties share the gradient equally. */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce(maxOp, 'max', x, options);
}
/** Smallest element over axes (default all); ties share the gradient equally. */
export function min(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce(minOp, 'min', x, options);
}

/** Sums a broadcast result back to the shape it came from. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  const missing = x.shape.length - shape.length;
  // A node even where there is one row to add: what adds rows up is the same op for any number of them (row-local.ts).
  const y = missing > 0 ? createNode(sumOp, [x], { from: 0, to: missing }) : x;
  const axes = y.shape.flatMap((size, d) => (shape[d] === 1 && size !== 1 ? [d] : []));
  return axes.length === 0 ? y : reshape(sum(y, { axis: axes }), shape);
}
