import type { OpDef } from '../op.ts';
import { ACTIVATION_OPS } from './activation.ts';
import { ATTENTION_OPS } from './attention.ts';
import { BATCH_NORM_OPS } from './batch-norm.ts';
import { BINARY_OPS } from './binary.ts';
import { CAST_OPS } from './cast.ts';
import { COMPARE_OPS } from './compare.ts';
import { CONVOLUTION_OPS } from './convolution.ts';
import { GATHER_OPS } from './gather.ts';
import { LEAF_OPS } from './leaf.ts';
import { LOSS_OPS } from './loss.ts';
import { MATMUL_OPS } from './matmul.ts';
import { NORM_OPS } from './norm.ts';
import { POOLING_OPS } from './pooling.ts';
import { RANDOM_OPS } from './random.ts';
import { RANK_OPS } from './rank.ts';
import { RECURRENT_OPS } from './recurrent.ts';
import { REDUCE_OPS } from './reduce.ts';
import { SELECT_OPS } from './select.ts';
import { SHAPE_OPS } from './shape.ts';
import { SOFTMAX_OPS } from './softmax.ts';
import { UNARY_OPS } from './unary.ts';

/** The op table: a new op is one file here, one row, and one row in test/graph/ops.test.ts. */
export const OPS: readonly OpDef[] = [
  ...LEAF_OPS,
  ...UNARY_OPS,
  ...BINARY_OPS,
  ...COMPARE_OPS,
  ...CAST_OPS,
  ...SELECT_OPS,
  ...ACTIVATION_OPS,
  ...REDUCE_OPS,
  ...SHAPE_OPS,
  ...MATMUL_OPS,
  ...CONVOLUTION_OPS,
  ...POOLING_OPS,
  ...GATHER_OPS,
  ...SOFTMAX_OPS,
  ...BATCH_NORM_OPS,
  ...NORM_OPS,
  ...ATTENTION_OPS,
  ...LOSS_OPS,
  ...RANK_OPS,
  ...RANDOM_OPS,
  ...RECURRENT_OPS,
];

const byName = new Map(OPS.map((op) => [op.name, op]));

/** The definition of a node's op. */
export function opOf(name: string): OpDef {
  const op = byName.get(name);
  if (op === undefined) throw new TypeError(`no op is called ${name}`);
  return op;
}
