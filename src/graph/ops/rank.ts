import { createNode, normaliseAxis, numberAttr, optionError, requireF32 } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { checkLabels } from './loss.ts';
import { transpose } from './shape.ts';

const argmaxOp: OpDef = {
  name: 'argmax',
  infer(inputs) {
    requireF32('argmax', inputs);
    return { shape: inputs[0].shape.slice(0, -1), dtype: 'i32' };
  },
  lower: (node, l) => l.call('argmax', l.out, l.input(0), sizeOf(node.shape), node.inputs[0].shape.at(-1) ?? 1),
};

const inTopKOp: OpDef = {
  name: 'inTopK',
  infer: ([scores, labels]) => ({ shape: checkLabels('inTopK', scores, labels), dtype: 'f32' }),
  lower(node, l) {
    const columns = node.inputs[0].shape.at(-1) ?? 1;
    l.call('inTopK', l.out, l.input(0), l.input(1), sizeOf(node.shape), columns, numberAttr(node.attrs, 'k'));
  },
};

export const RANK_OPS: readonly OpDef[] = [argmaxOp, inTopKOp];

/** Index (i32) of the first largest element along one axis (default the last), which disappears. No gradient. */
export function argmax(x: Tensor, axis = -1): Tensor {
  const d = normaliseAxis('argmax', axis, x.shape.length);
  const others = x.shape.map((_, i) => i).filter((i) => i !== d);
  return createNode(argmaxOp, [transpose(x, [...others, d])]);
}

/** 1 where fewer than k scores of a row exceed the one of its label: scores [..., classes], labels i32 [...]. No gradient. */
export function inTopK(scores: Tensor, labels: Tensor, k: number): Tensor {
  if (!Number.isInteger(k) || k < 1) throw optionError('inTopK', 'an integer k of at least 1', k, 'choose another k');
  return createNode(inTopKOp, [scores, labels], { k });
}
