import { LockstepError } from '../../errors.ts';
import { showShape } from '../../graph/build.ts';
import { add, mul } from '../../graph/ops/binary.ts';
import { gather } from '../../graph/ops/gather.ts';
import { constant } from '../../graph/ops/leaf.ts';
import { softmaxCrossEntropy } from '../../graph/ops/loss.ts';
import { sum } from '../../graph/ops/reduce.ts';
import { reshape } from '../../graph/ops/shape.ts';
import { logSoftmax } from '../../graph/ops/softmax.ts';
import { scale } from '../../graph/ops/unary.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Info, LossDef, WeightedValue } from '../contract.ts';
import { optionError, show } from '../options.ts';
import { maskOf, type Selected, type Selection, showRowShape } from '../select.ts';
import { checkLossOptions, makeLoss } from './loss.ts';

export interface CrossEntropyOptions extends Selection {
  /** Share of the target that is spread evenly over all classes (Szegedy et al. 2016). Default 0. */
  readonly labelSmoothing?: number;
  /** One weight for each class: those of rare classes above 1. Default: all 1. */
  readonly classWeights?: readonly number[];
  /** Field with a weight for each label, 0 for padding: it counts neither in the loss nor in accuracy. Default: all 1. */
  readonly mask?: string;
}

/**
 * Cross-entropy of logits with integer labels: logits [n, classes] and labels [n], or [n, ..., classes] and [n, ...]. Takes logits, not
 * probabilities: no softmax before it. With class weights w a row counts w[label], in the sum of losses and in the sum of
 * weights, so the mean is PyTorch's: sum of w[y] nll / sum of w[y]; smoothing spreads w over the classes as PyTorch does.
 * A mask leaves labels out (their values must still be classes). Throws E_OPTION for bad options, E_DTYPE, E_SHAPE or E_LOSS when
 * output, target and mask do not fit.
 */
export function crossEntropy(options: CrossEntropyOptions = {}): LossDef {
  checkLossOptions('crossEntropy', options, ['labelSmoothing', 'classWeights', 'mask']);
  const { labelSmoothing: smoothing = 0, classWeights, mask } = options;
  if (typeof smoothing !== 'number' || !(smoothing >= 0 && smoothing < 1)) {
    throw optionError('crossEntropy: labelSmoothing', 'a share from 0 to below 1', show(smoothing));
  }
  if (classWeights !== undefined) checkWeights(classWeights, smoothing);

  const loss = makeLoss('crossEntropy', options, ['accuracy'], (selected, info, fields) => {
    const { logits, labels } = classPair('crossEntropy', selected);
    checkClasses(selected, info);
    const { value, weight }: WeightedValue =
      classWeights === undefined
        ? { value: softmaxCrossEntropy(logits, labels, { smoothing }) }
        : weightedCrossEntropy(logits, labels, smoothing, classWeights);
    if (mask === undefined) return weight === undefined ? { value } : { value, weight };
    const kept = maskOf('crossEntropy', fields, mask, labels);
    return { value, weight: weight === undefined ? kept : mul(weight, kept) };
  });
  return Object.assign(loss, { mask });
}

/**
 * value = (1 - smoothing) nll(y) + smoothing / classes * sum over c of w[c] nll(c) / w[y], weight = w[y]: their product is
 * PyTorch's weighted sum.
 */
function weightedCrossEntropy(
  logits: Tensor,
  labels: Tensor,
  smoothing: number,
  classWeights: readonly number[],
): { value: Tensor; weight: Tensor } {
  const classes = logits.shape[logits.shape.length - 1];
  if (classWeights.length !== classes) {
    const got = `${classWeights.length}`;
    throw optionError('crossEntropy: classWeights', `${classes} weights, one for each class of the model`, got);
  }
  const table = constant([...classWeights]);
  const weight = gather(table, labels);
  const nll = softmaxCrossEntropy(logits, labels);
  if (smoothing === 0) return { value: nll, weight };
  const spread = scale(sum(mul(logSoftmax(logits), table), { axis: -1 }), -smoothing / classes);
  const inverse = gather(constant(classWeights.map((w) => 1 / w)), labels);
  return { value: add(scale(nll, 1 - smoothing), mul(spread, inverse)), weight };
}

function checkWeights(weights: unknown, smoothing: number): void {
  const valid = (w: unknown): boolean => typeof w === 'number' && w >= 0 && Number.isFinite(w);
  if (!Array.isArray(weights) || !weights.every(valid) || !weights.some((w) => w > 0)) {
    throw optionError('crossEntropy: classWeights', 'numbers of at least 0, not all of them 0', show(weights));
  }
  if (smoothing > 0 && weights.includes(0)) {
    const fix = 'use a small weight, or no smoothing: a row of weight 0 cannot carry its smoothed part';
    throw optionError('crossEntropy: classWeights', 'weights above 0 where labels are smoothed', show(weights), fix);
  }
}

/** Logits and integer labels of matching shape; labels [n, ..., 1] lose the last axis. Throws E_DTYPE, E_SHAPE. */
export function classPair(where: string, selected: Selected): { logits: Tensor; labels: Tensor } {
  const { output: logits, target, outputName, targetName } = selected;
  if (target.dtype !== 'i32') {
    throw new LockstepError('E_DTYPE', {
      where,
      expected: `integer class labels in field '${targetName}'`,
      got: target.dtype,
      fix: 'make the field i32 (a categorical column or an Int32Array), or use meanSquaredError() for numbers',
    });
  }
  const rows = logits.shape.slice(0, -1);
  const labels = isColumn(target, rows) ? reshape(target, rows) : target;
  if (logits.shape.length > 1 && showShape(labels.shape) === showShape(rows)) return { logits, labels };
  const positions = logits.shape.length > target.shape.length + 1;
  throw new LockstepError('E_SHAPE', {
    where,
    expected: `output '${outputName}' of shape ${showRowShape(target).replace(']', ', classes]')} for field '${targetName}'`,
    got: showRowShape(logits),
    fix: positions
      ? 'put flatten() before the first dense layer, so that each row gives one vector'
      : 'give one vector of logits for each label',
  });
}

function isColumn(target: Tensor, rows: readonly number[]): boolean {
  return showShape(target.shape) === showShape([...rows, 1]);
}

function checkClasses({ output, outputName, targetName }: Selected, info: Info): void {
  const size = Object.hasOwn(info, targetName) ? info[targetName].size : undefined;
  const classes = output.shape[output.shape.length - 1];
  if (size === undefined || classes >= size) return;
  throw new LockstepError('E_LOSS', {
    where: 'crossEntropy',
    expected: `at least ${size} classes in output '${outputName}', because field '${targetName}' has labels from 0 to ${size - 1}`,
    got: show(classes),
    fix: `make the last layer dense(${size})`,
  });
}
