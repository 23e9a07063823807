import { createNode, numberAttr, optionError, requireF32 } from '../build.ts';
import type { OpDef } from '../op.ts';
import { processState } from '../process-state.ts';
import type { Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';

/** `salt` tells dropouts apart; the compiler numbers them anew for each program. The gradient is the same mask on dy. */
const dropoutOp: OpDef = {
  name: 'dropout',
  infer(inputs) {
    requireF32('dropout', inputs);
    return { shape: inputs[0].shape, dtype: 'f32' };
  },
  gradient: (node, up) => [createNode(dropoutOp, [up], node.attrs)],
  lower(node, l) {
    const [rate, salt] = [numberAttr(node.attrs, 'rate'), numberAttr(node.attrs, 'salt')];
    l.call('dropout', l.out, l.input(0), sizeOf(node.shape), rate, { region: 'key', offset: 0 }, salt, 0);
  },
  inPlace: [0],
};

export const RANDOM_OPS: readonly OpDef[] = [dropoutOp];

/**
 * Inverted dropout (Srivastava et al. 2014): in training each element becomes 0 with probability `rate`, else x / (1 - rate);
 * the identity otherwise. The mask follows from seed, step, shard and element. Throws E_OPTION unless 0 <= rate < 1.
 */
export function dropout(x: Tensor, rate: number): Tensor {
  if (!(rate >= 0 && rate < 1)) throw optionError('dropout', 'a rate from 0 to below 1', rate, 'use 0.5 or less');
  return rate === 0 ? x : createNode(dropoutOp, [x], { rate, salt: processState.nextSalt++ });
}
