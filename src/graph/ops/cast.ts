import { createNode } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';

const castOp: OpDef = {
  name: 'cast',
  infer: ([x]) => ({ shape: x.shape, dtype: 'f32' }),
  lower: (node, l) => l.call('i32ToF32', l.out, l.input(0), sizeOf(node.shape)),
};

export const CAST_OPS: readonly OpDef[] = [castOp];

/** i32 as f32 (exact up to 2^24); f32 as it is. */
export function cast(x: Tensor): Tensor {
  return x.dtype === 'f32' ? x : createNode(castOp, [x]);
}
