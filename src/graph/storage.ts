import { opOf } from './ops/table.ts';
import type { Tensor } from './tensor.ts';

/** The tensor whose memory this one is: reshape and the like have none of their own. */
export function storageOf(node: Tensor): Tensor {
  let storage = node;
  while (opOf(storage.op).alias) storage = storage.inputs[0];
  return storage;
}
