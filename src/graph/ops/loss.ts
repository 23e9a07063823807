import { createNode, numberAttr, optionError, requireF32, requireI32, shapeError, showShape } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { sigmoid } from './activation.ts';
import { mul, sub } from './binary.ts';
import { constant } from './leaf.ts';
import { sum } from './reduce.ts';
import { reshape } from './shape.ts';
import { softmax } from './softmax.ts';
import { neg } from './unary.ts';

/** Labels have the shape of the logits without the classes. Returns that shape. */
export function checkLabels(op: string, logits: Tensor, labels: Tensor): Shape {
  requireF32(op, [logits]);
  requireI32(op, 'labels', labels);
  const rows = logits.shape.slice(0, -1);
  if (logits.shape.length === 0 || showShape(labels.shape) !== showShape(rows)) {
    throw shapeError(
      op,
      `labels of shape ${showShape(rows)} for logits ${showShape(logits.shape)}`,
      showShape(labels.shape),
      'give one integer label for each row of logits',
    );
  }
  return rows;
}

const softmaxCrossEntropyOp: OpDef = {
  name: 'softmaxCrossEntropy',
  infer: ([logits, labels]) => ({ shape: checkLabels('softmaxCrossEntropy', logits, labels), dtype: 'f32' }),
  gradient: (node, up) => [createNode(softmaxCrossEntropyGradOp, [...node.inputs, up], node.attrs), undefined],
  lower(node, l) {
    const columns = node.inputs[0].shape.at(-1) ?? 1;
    const smoothing = numberAttr(node.attrs, 'smoothing');
    l.call('softmaxCrossEntropy', l.out, l.input(0), l.input(1), sizeOf(node.shape), columns, smoothing);
  },
};

/** dLoss (softmax(logits) - target). */
const softmaxCrossEntropyGradOp: OpDef = {
  name: 'softmaxCrossEntropyGrad',
  infer: ([logits]) => ({ shape: logits.shape, dtype: 'f32' }),
  gradient(node, up) {
    const [logits, labels, dLoss] = node.inputs;
    const p = softmax(logits);
    const centred = sub(up, sum(mul(up, p), { axis: -1, keepDims: true }));
    const column = reshape(dLoss, [...dLoss.shape, 1]);
    const ones = createNode(softmaxCrossEntropyGradOp, [logits, labels, constant(1, dLoss.shape)], node.attrs);
    return [mul(mul(p, centred), column), undefined, sum(mul(up, ones), { axis: -1 })];
  },
  lower(node, l) {
    const columns = node.shape.at(-1) ?? 1;
    const smoothing = numberAttr(node.attrs, 'smoothing');
    const rows = sizeOf(node.shape) / columns;
    l.call('softmaxCrossEntropyGrad', l.out, l.input(0), l.input(1), l.input(2), rows, columns, smoothing);
  },
  inPlace: [0],
};

const bceWithLogitsOp: OpDef = {
  name: 'bceWithLogits',
  infer(inputs) {
    requireF32('bceWithLogits', inputs);
    const [z, target] = inputs;
    if (showShape(z.shape) !== showShape(target.shape)) {
      throw shapeError(
        'bceWithLogits',
        `a target of shape ${showShape(z.shape)} like the logits`,
        showShape(target.shape),
        'reshape one to the other',
      );
    }
    return { shape: z.shape, dtype: 'f32' };
  },
  gradient: (node, up) => [createNode(bceWithLogitsGradOp, [...node.inputs, up]), neg(mul(up, node.inputs[0]))],
  lower: (node, l) => l.call('bceWithLogits', l.out, l.input(0), l.input(1), sizeOf(node.shape)),
  inPlace: [0, 1],
};

/** dy (sigmoid(z) - target). */
const bceWithLogitsGradOp: OpDef = {
  name: 'bceWithLogitsGrad',
  infer: ([z]) => ({ shape: z.shape, dtype: 'f32' }),
  gradient(node, up) {
    const [z, target, dy] = node.inputs;
    const p = sigmoid(z);
    const weighted = mul(up, dy);
    return [mul(weighted, mul(p, sub(1, p))), neg(weighted), mul(up, sub(p, target))];
  },
  lower: (node, l) => l.call('bceWithLogitsGrad', l.out, l.input(0), l.input(1), l.input(2), sizeOf(node.shape)),
  inPlace: [0, 1, 2],
};

export const LOSS_OPS: readonly OpDef[] = [
  softmaxCrossEntropyOp,
  softmaxCrossEntropyGradOp,
  bceWithLogitsOp,
  bceWithLogitsGradOp,
];

/**
 * Cross-entropy of logits [..., classes] with integer labels [...], one value for each label: (1 - smoothing) * nll(label) +
 * smoothing * mean over classes of nll (Szegedy et al. 2016). A label that is no class gives NaN.
 */
export function softmaxCrossEntropy(logits: Tensor, labels: Tensor, options: { smoothing?: number } = {}): Tensor {
  const { smoothing = 0 } = options;
  if (!(smoothing >= 0 && smoothing < 1)) {
    throw optionError('softmaxCrossEntropy', 'smoothing from 0 to below 1', smoothing, 'use 0.1 or so');
  }
  return createNode(softmaxCrossEntropyOp, [logits, labels], { smoothing });
}

/** Binary cross-entropy of logits z with targets in [0, 1] of the same shape, elementwise and without overflow. */
export function bceWithLogits(z: Tensor, target: Tensor): Tensor {
  return createNode(bceWithLogitsOp, [z, target]);
}
