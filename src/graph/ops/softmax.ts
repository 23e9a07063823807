import { createNode, normaliseAxis, requireF32 } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { mul, sub } from './binary.ts';
import { sum } from './reduce.ts';
import { transpose } from './shape.ts';
import { exp, neg } from './unary.ts';

/** A kernel over the rows of the last axis with one or two operands of the same shape. */
function rowOp(name: 'softmax' | 'logSoftmax' | 'softmaxGrad' | 'logSoftmaxGrad', gradient: OpDef['gradient']): OpDef {
  return {
    name,
    infer(inputs) {
      requireF32(name, inputs);
      return { shape: inputs[0].shape, dtype: 'f32' };
    },
    gradient,
    lower(node, l) {
      const columns = node.shape.at(-1) ?? 1;
      const operands = node.inputs.map((_, i) => l.input(i));
      l.call(name, l.out, ...operands, sizeOf(node.shape) / columns, columns);
    },
    inPlace: name.endsWith('Grad') ? [0, 1] : [0],
  };
}

const rowSum = (x: Tensor): Tensor => sum(x, { axis: -1, keepDims: true });

const softmaxOp = rowOp('softmax', (node, up) => [createNode(softmaxGradOp, [node, up])]);
const logSoftmaxOp = rowOp('logSoftmax', (node, up) => [createNode(logSoftmaxGradOp, [node, up])]);
/** g = y (dy - sum(y dy)). */
const softmaxGradOp: OpDef = rowOp('softmaxGrad', (node, up) => {
  const [y, dy] = node.inputs;
  const toY = sub(mul(up, sub(dy, rowSum(mul(y, dy)))), mul(dy, rowSum(mul(up, y))));
  return [toY, createNode(softmaxGradOp, [y, up])];
});
/** g = dy - exp(y) sum(dy). */
const logSoftmaxGradOp: OpDef = rowOp('logSoftmaxGrad', (node, up) => {
  const [y, dy] = node.inputs;
  const weighted = mul(up, exp(y));
  return [neg(mul(weighted, rowSum(dy))), sub(up, rowSum(weighted))];
});

export const SOFTMAX_OPS: readonly OpDef[] = [softmaxOp, logSoftmaxOp, softmaxGradOp, logSoftmaxGradOp];

/** Applies `f` with `axis` moved to the end. */
export function alongLastAxis(op: string, x: Tensor, axis: number, f: (x: Tensor) => Tensor): Tensor {
  const rank = x.shape.length;
  const d = normaliseAxis(op, axis, rank);
  if (d === rank - 1) return f(x);
  const swap = x.shape.map((_, i) => (i === d ? rank - 1 : i === rank - 1 ? d : i));
  return transpose(f(transpose(x, swap)), swap);
}

/** exp(x) / sum(exp(x)) along one axis (default the last). */
export function softmax(x: Tensor, axis = -1): Tensor {
  return alongLastAxis('softmax', x, axis, (t) => createNode(softmaxOp, [t]));
}

/** log(softmax(x)) along one axis (default the last), without overflow. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return alongLastAxis('logSoftmax', x, axis, (t) => createNode(logSoftmaxOp, [t]));
}
