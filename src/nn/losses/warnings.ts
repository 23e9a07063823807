import type { Tensor } from '../../graph/tensor.ts';
import type { LossDef, Outputs } from '../contract.ts';

/** Ops that pass their first input on unchanged, so that the op before them counts. */
const PASSING = ['reshape', 'stopGradient', 'dropout'];

/** Probabilities where a loss expects logits: learns slowly or not at all, without any error. */
const MISTAKES = {
  crossEntropy: ['softmax', 'logSoftmax', 'sigmoid'],
  binaryCrossEntropy: ['sigmoid', 'softmax', 'logSoftmax'],
} as const;

/** Sentences about combinations of model and loss that run but are likely mistakes. */
export function lossWarnings(outputs: Outputs, loss: LossDef): string[] {
  const { lossName } = loss;
  if (lossName !== 'crossEntropy' && lossName !== 'binaryCrossEntropy') return [];
  const names = Object.keys(outputs);
  const name = loss.output ?? (names.length === 1 ? names[0] : 'output');
  if (!Object.hasOwn(outputs, name)) return [];
  const last = lastFunction(outputs[name]);
  if (!MISTAKES[lossName].some((op) => op === last)) return [];
  const layer = outputs[name].scope === undefined ? '' : ` in layer ${outputs[name].scope}`;
  return [
    `${last} directly before ${lossName} (output '${name}'${layer}): ${lossName} takes logits and applies its own; leave ${last} out`,
  ];
}

function lastFunction(x: Tensor): string {
  let node = x;
  while (PASSING.includes(node.op)) node = node.inputs[0];
  return node.op === 'biasActivation' ? String(node.attrs.activation) : node.op;
}
