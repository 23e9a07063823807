import { createNode } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import type { Value } from './binary.ts';
import { asTensor, inferBinary, lowerBinary } from './binary.ts';
import { cast } from './cast.ts';

type Comparison = 'equal' | 'notEqual' | 'less' | 'lessEqual' | 'greater' | 'greaterEqual';
const NAMES: readonly Comparison[] = ['equal', 'notEqual', 'less', 'lessEqual', 'greater', 'greaterEqual'];

/** Steps have gradient 0: no gradient rule. */
const comparisons = Object.fromEntries(
  NAMES.map((name): [Comparison, OpDef] => [
    name,
    {
      name,
      infer: (inputs) => inferBinary(name, inputs),
      lower: (node, l) => lowerBinary(name, node, l),
      inPlace: [0, 1],
    },
  ]),
);

export function compareOp(name: Comparison): OpDef {
  return comparisons[name];
}

export const COMPARE_OPS: readonly OpDef[] = NAMES.map(compareOp);

/** Integers are compared as f32: exact up to 2^24. */
function compare(name: Comparison, a: Value, b: Value): Tensor {
  return createNode(compareOp(name), [cast(asTensor(a)), cast(asTensor(b))]);
}

/** 1 where a = b, else 0 (f32), broadcasting; f32 or i32 operands. No gradient. */
export function equal(a: Value, b: Value): Tensor {
  return compare('equal', a, b);
}
/** 1 where a differs from b, else 0. */
export function notEqual(a: Value, b: Value): Tensor {
  return compare('notEqual', a, b);
}
/** 1 where a < b, else 0. */
export function less(a: Value, b: Value): Tensor {
  return compare('less', a, b);
}
/** 1 where a <= b, else 0. */
export function lessEqual(a: Value, b: Value): Tensor {
  return compare('lessEqual', a, b);
}
/** 1 where a > b, else 0. */
export function greater(a: Value, b: Value): Tensor {
  return compare('greater', a, b);
}
/** 1 where a >= b, else 0. */
export function greaterEqual(a: Value, b: Value): Tensor {
  return compare('greaterEqual', a, b);
}
