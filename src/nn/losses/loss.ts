import { LockstepError } from '../../errors.ts';
import { showShape } from '../../graph/build.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Info, Inputs, LossDef, Outputs, TracedModel, WeightedValue } from '../contract.ts';
import { strictRecord } from '../named.ts';
import { checkOptions, show } from '../options.ts';
import { type Selected, type Selection, samePair, select } from '../select.ts';
import { isTensor } from '../trace.ts';

/** Checks the names of a loss's options. Throws E_OPTION. */
export function checkLossOptions(name: string, options: Selection, known: readonly string[] = []): void {
  checkOptions(name, options, ['output', 'target', ...known]);
}

/** A standard loss: a function with a name, that finds output and target by itself. */
export function makeLoss(
  lossName: string,
  selection: Selection,
  defaultMetrics: readonly string[],
  build: (selected: Selected, info: Info, fields: Inputs) => WeightedValue,
): LossDef {
  const loss = (outputs: Outputs, fields: Inputs, info: Info): WeightedValue =>
    build(select(lossName, outputs, fields, selection), info, fields);
  const { output, target } = selection;
  return Object.assign(loss, { lossName, defaultMetrics, output, target });
}

/** A loss of the difference of prediction and target, for each element. */
export function regressionLoss(
  lossName: string,
  selection: Selection,
  defaultMetrics: readonly string[],
  build: (prediction: Tensor, target: Tensor) => Tensor,
): LossDef {
  return makeLoss(lossName, selection, defaultMetrics, (selected) => {
    const { prediction, target } = samePair(lossName, selected);
    return { value: build(prediction, target) };
  });
}

/** Calls a loss on a traced model and checks what it gives. Throws E_LOSS, E_SHAPE, and what the loss throws. */
export function applyLoss(loss: LossDef, traced: TracedModel): WeightedValue {
  const { outputs, info } = traced;
  const fields = strictRecord({ ...traced.inputs }, 'E_LOSS', 'loss', 'field');
  const result: unknown = loss(outputs, fields, info);
  if (isTensor(result)) return { value: checkValue(result) };
  const parts: { value?: unknown; weight?: unknown } = typeof result === 'object' && result !== null ? result : {};
  if (!isTensor(parts.value) || (parts.weight !== undefined && !isTensor(parts.weight))) {
    throw new LockstepError('E_LOSS', {
      where: 'loss',
      expected: 'a tensor of values per row, or { value, weight }',
      got: parts.value === undefined ? show(result) : 'a value or weight that is no tensor',
      fix: 'return values per row, not their mean: the weighted mean is taken over the global batch',
    });
  }
  const value = checkValue(parts.value);
  const { weight } = parts;
  if (weight === undefined) return { value };
  if (showShape(weight.shape) === showShape(value.shape)) return { value, weight };
  throw new LockstepError('E_SHAPE', {
    where: 'loss',
    expected: `a weight of shape ${showShape(value.shape)} like the value`,
    got: showShape(weight.shape),
    fix: 'give one weight for each element, or reduce the value to one for each row',
  });
}

function checkValue(value: Tensor): Tensor {
  if (value.dtype === 'f32') return value;
  throw new LockstepError('E_DTYPE', {
    where: 'loss',
    expected: 'f32 values',
    got: value.dtype,
    fix: 'convert integers with ops.cast(x)',
  });
}
