import { createNode, requireF32 } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import type { Value } from './binary.ts';
import { asTensor } from './binary.ts';
import { sumTo } from './reduce.ts';
import { broadcastShapes, lowerExpanded } from './strides.ts';

const whereOp: OpDef = {
  name: 'where',
  infer(inputs) {
    requireF32('where', inputs);
    const [condition, a, b] = inputs;
    return {
      shape: broadcastShapes('where', condition.shape, broadcastShapes('where', a.shape, b.shape)),
      dtype: 'f32',
    };
  },
  gradient(node, up) {
    const [condition, a, b] = node.inputs;
    return [undefined, sumTo(where(condition, up, 0), a.shape), sumTo(where(condition, 0, up), b.shape)];
  },
  lower(node, l) {
    const [condition, a, b] = node.inputs.map((x, i) => lowerExpanded(l, l.input(i), x.shape, node.shape));
    l.call('where', l.out, condition, a, b, sizeOf(node.shape));
  },
  inPlace: [0, 1, 2],
};

export const SELECT_OPS: readonly OpDef[] = [whereOp];

/** a where condition is not 0, else b; all three broadcast. A NaN in the branch not taken does no harm. */
export function where(condition: Tensor, a: Value, b: Value): Tensor {
  return createNode(whereOp, [condition, asTensor(a), asTensor(b)]);
}
