import { createNode, normaliseAxis, numberAttr, optionError, requireF32, shapeError, showShape } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Attrs, Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';

export interface BatchNormOptions {
  /** The channels. Default -1, the last; 1 for channels before pixels. */
  readonly axis?: number;
  /** Added to the variance. Default 1e-5. */
  readonly epsilon?: number;
}

/** Words of the f64 sums of a tensor by channel: see channelSums in the kernel table. Such a tensor is f32 by its type alone. */
function sumWords(channels: number): number {
  return 2 * (2 * channels + 1);
}

/** x as [outer, channels, inner]. */
function boxOf(x: Tensor, attrs: Attrs): [outer: number, channels: number, inner: number] {
  const axis = numberAttr(attrs, 'axis');
  return [sizeOf(x.shape.slice(0, axis)), x.shape[axis] ?? 0, sizeOf(x.shape.slice(axis + 1))];
}

/** Models are also read from files: nothing is taken for granted. `like`: inputs of the shape of the first. */
function check(
  op: string,
  inputs: readonly Tensor[],
  attrs: Attrs,
  like: number,
  rest: readonly ('channels' | 'sums')[],
) {
  requireF32(op, inputs);
  const [x] = inputs;
  const axis = numberAttr(attrs, 'axis');
  const epsilon = attrs.epsilon ?? 1;
  const channels = x.shape[axis];
  const fits =
    Number.isInteger(axis) &&
    channels !== undefined &&
    inputs.length === like + rest.length &&
    typeof epsilon === 'number' &&
    epsilon >= 0;
  const shapes = inputs.map((_, i) =>
    i < like ? x.shape : [rest[i - like] === 'sums' ? sumWords(channels) : channels],
  );
  const wrong = fits ? inputs.findIndex((input, i) => showShape(input.shape) !== showShape(shapes[i])) : 0;
  if (wrong < 0) return channels;
  throw shapeError(
    op,
    showShape(fits ? shapes[wrong] : x.shape),
    showShape(inputs[wrong].shape),
    'give a number a channel',
  );
}

const channelSumsOp: OpDef = {
  name: 'channelSums',
  infer: (inputs, attrs) => ({ shape: [sumWords(check('channelSums', inputs, attrs, 2, []))], dtype: 'f32' }),
  lower(node, l) {
    l.call('channelSums', l.out, l.input(0), l.input(1), ...boxOf(node.inputs[0], node.attrs));
  },
};

/** Inputs x, gamma, beta, moments of x. What the moments contribute to the gradient is in that of x. */
const batchNormOp: OpDef = {
  name: 'batchNorm',
  infer(inputs, attrs) {
    check('batchNorm', inputs, attrs, 1, ['channels', 'channels', 'sums']);
    return { shape: inputs[0].shape, dtype: 'f32' };
  },
  gradient({ inputs: [x, gamma, , moments], attrs }, dy) {
    const sums = createNode(channelSumsOp, [dy, x], { axis: attrs.axis });
    const { epsilon } = attrs;
    const channels = gamma.shape[0];
    return [
      createNode(batchNormGradOp, [x, dy, gamma, moments, sums], attrs),
      createNode(parameterGradOp, [moments, sums], { channels, epsilon, which: 0 }),
      createNode(parameterGradOp, [moments, sums], { channels, epsilon, which: 1 }),
      undefined,
    ];
  },
  lower(node, l) {
    const box = boxOf(node.inputs[0], node.attrs);
    const operands = [0, 1, 2, 3].map((i) => l.input(i));
    l.call('batchNorm', l.out, ...operands, ...box, numberAttr(node.attrs, 'epsilon'), l.scratch(3 * box[1]));
  },
};

const batchNormGradOp: OpDef = {
  name: 'batchNormGrad',
  infer(inputs, attrs) {
    check('batchNormGrad', inputs, attrs, 2, ['channels', 'sums', 'sums']);
    return { shape: inputs[0].shape, dtype: 'f32' };
  },
  lower(node, l) {
    const box = boxOf(node.inputs[0], node.attrs);
    const operands = [0, 1, 2, 3, 4].map((i) => l.input(i));
    l.call('batchNormGrad', l.out, ...operands, ...box, numberAttr(node.attrs, 'epsilon'), l.scratch(4 * box[1]));
  },
  inPlace: [1],
};

/** Inputs moments and sums of the gradient; attribute `which`: 0 gamma, 1 beta. */
const parameterGradOp: OpDef = {
  name: 'batchNormParameterGrad',
  infer: (_, attrs) => ({ shape: [numberAttr(attrs, 'channels')], dtype: 'f32' }),
  lower({ attrs }, l) {
    const [channels, epsilon, which] = ['channels', 'epsilon', 'which'].map((name) => numberAttr(attrs, name));
    l.call('batchNormParameterGrad', l.out, l.input(0), l.input(1), channels, epsilon, which);
  },
};

/** Inputs x, gamma, beta, mean, variance. For evaluation: no gradient. */
const batchNormInferenceOp: OpDef = {
  name: 'batchNormInference',
  infer(inputs, attrs) {
    check('batchNormInference', inputs, attrs, 1, ['channels', 'channels', 'channels', 'channels']);
    return { shape: inputs[0].shape, dtype: 'f32' };
  },
  lower(node, l) {
    const box = boxOf(node.inputs[0], node.attrs);
    const operands = [0, 1, 2, 3, 4].map((i) => l.input(i));
    l.call('batchNormInference', l.out, ...operands, ...box, numberAttr(node.attrs, 'epsilon'), l.scratch(box[1]));
  },
  inPlace: [0],
};

export const BATCH_NORM_OPS: readonly OpDef[] = [
  channelSumsOp,
  batchNormOp,
  batchNormGradOp,
  parameterGradOp,
  batchNormInferenceOp,
];

function attrsOf(op: string, x: Tensor, { axis = -1, epsilon = 1e-5 }: BatchNormOptions): Attrs & { axis: number } {
  if (!(epsilon >= 0 && Number.isFinite(epsilon)))
    throw optionError(op, 'epsilon: a number >= 0', epsilon, 'correct it');
  if (x.shape.length < 2) {
    throw shapeError(
      op,
      'an input [rows, ..., channels]',
      showShape(x.shape),
      'make a number a row of one: ops.reshape(x, [-1, 1])',
    );
  }
  return { axis: normaliseAxis(op, axis, x.shape.length), epsilon };
}

/** The result of `batchNorm`, and the moments that it used: f64 sums by channel, for running statistics. */
export function batchNormWithMoments(x: Tensor, gamma: Tensor, beta: Tensor, options: BatchNormOptions = {}) {
  const attrs = attrsOf('batchNorm', x, options);
  const moments = createNode(channelSumsOp, [x, x], { axis: attrs.axis });
  return { result: createNode(batchNormOp, [x, gamma, beta, moments], attrs), moments };
}

/**
 * (x - mean) / sqrt(variance + epsilon) * gamma + beta, mean and variance (by n) by channel over all other axes of this shard; gamma
 * and beta [channels]. Throws E_SHAPE, E_OPTION.
 */
export function batchNorm(x: Tensor, gamma: Tensor, beta: Tensor, options: BatchNormOptions = {}): Tensor {
  return batchNormWithMoments(x, gamma, beta, options).result;
}

/** The same with a given mean and variance [channels], for evaluation: no gradient flows. */
export function batchNormInference(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  mean: Tensor,
  variance: Tensor,
  options: BatchNormOptions = {},
): Tensor {
  return createNode(batchNormInferenceOp, [x, gamma, beta, mean, variance], attrsOf('batchNormInference', x, options));
}
