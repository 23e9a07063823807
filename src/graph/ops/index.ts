/** `lockstep/ops`: functions of symbolic tensors for models and losses. */
export { activation, elu, gelu, leakyRelu, relu, sigmoid, silu, softplus, tanh } from './activation.ts';
export type { Value } from './binary.ts';
export { add, div, maximum, minimum, mul, pow, sub } from './binary.ts';
export { cast } from './cast.ts';
export { equal, greater, greaterEqual, less, lessEqual, notEqual } from './compare.ts';
export { gather } from './gather.ts';
export type { ConstantValue, NestedArray } from './leaf.ts';
export { constant, input, parameter } from './leaf.ts';
export { bceWithLogits, softmaxCrossEntropy } from './loss.ts';
export { linear, matmul } from './matmul.ts';
export { dropout } from './random.ts';
export { argmax, inTopK } from './rank.ts';
export type { ReduceOptions } from './reduce.ts';
export { max, mean, min, sum } from './reduce.ts';
export { where } from './select.ts';
export { broadcastTo, concat, flatten, pad, reshape, slice, stack, stopGradient, transpose } from './shape.ts';
export { logSoftmax, softmax } from './softmax.ts';
export { abs, clamp, cos, erf, exp, floor, log, neg, reciprocal, sign, sin, sqrt, square } from './unary.ts';
