import { createNode, numbersAttr, requireF32, requireI32, shapeError, showShape } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';

const gatherOp: OpDef = {
  name: 'gather',
  infer([table, indices]) {
    requireF32('gather', [table]);
    requireI32('gather', 'indices', indices);
    if (table.shape.length === 0) {
      throw shapeError('gather', 'a table of rank 1 or more', showShape(table.shape), 'give a table with rows');
    }
    return { shape: [...indices.shape, ...table.shape.slice(1)], dtype: 'f32' };
  },
  gradient(node, up) {
    const [table, indices] = node.inputs;
    return [createNode(scatterAddOp, [up, indices], { shape: table.shape }), undefined];
  },
  lower(node, l) {
    const [table, indices] = node.inputs;
    const width = sizeOf(table.shape.slice(1));
    l.call('gatherRows', l.out, l.input(0), l.input(1), sizeOf(indices.shape), width, table.shape[0]);
  },
};

/** The gradient of gather: rows of dy are added to the rows that they came from. */
const scatterAddOp: OpDef = {
  name: 'scatterAdd',
  infer: (_inputs, attrs) => ({ shape: numbersAttr(attrs, 'shape'), dtype: 'f32' }),
  gradient: (node, up) => [gather(up, node.inputs[1]), undefined],
  lower(node, l) {
    const width = sizeOf(node.shape.slice(1));
    l.call('scatterAddRows', l.out, l.input(0), l.input(1), sizeOf(node.inputs[1].shape), width, node.shape[0]);
  },
};

export const GATHER_OPS: readonly OpDef[] = [gatherOp, scatterAddOp];

/** Rows of a table: table [n, ...rest], indices (i32) of any shape S -> [...S, ...rest]. Throws E_SHAPE, E_DTYPE. */
export function gather(table: Tensor, indices: Tensor): Tensor {
  return createNode(gatherOp, [table, indices]);
}
