import { LockstepError } from '../../errors.ts';
import { bceWithLogits } from '../../graph/ops/loss.ts';
import type { LossDef } from '../contract.ts';
import { type Selection, samePair } from '../select.ts';
import { checkLossOptions, makeLoss } from './loss.ts';

/**
 * Binary cross-entropy of logits z with targets t in [0, 1], for each element: max(z, 0) - z t + log(1 + exp(-|z|)). Output [n, 1] with
 * target [n], or equal shapes (several labels a row); i32 targets are converted. Takes logits: no sigmoid before it.
 * Throws E_LOSS when the target has more than two classes, E_SHAPE.
 */
export function binaryCrossEntropy(options: Selection = {}): LossDef {
  checkLossOptions('binaryCrossEntropy', options);
  return makeLoss('binaryCrossEntropy', options, ['accuracy'], (selected, info) => {
    const { targetName } = selected;
    const size = Object.hasOwn(info, targetName) ? info[targetName].size : undefined;
    if (size !== undefined && size > 2) {
      throw new LockstepError('E_LOSS', {
        where: 'binaryCrossEntropy',
        expected: `labels 0 and 1 in field '${targetName}'`,
        got: `labels from 0 to ${size - 1}`,
        fix: `use crossEntropy() with a last layer dense(${size})`,
      });
    }
    const { prediction, target } = samePair('binaryCrossEntropy', selected);
    return { value: bceWithLogits(prediction, target) };
  });
}
