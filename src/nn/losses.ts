/** The losses, and what turns one into the weighted values of a program. */
export { binaryCrossEntropy } from './losses/binary-cross-entropy.ts';
export { type CrossEntropyOptions, crossEntropy } from './losses/cross-entropy.ts';
export { applyLoss } from './losses/loss.ts';
export { type HuberOptions, huber, meanAbsoluteError, meanSquaredError } from './losses/regression.ts';
export { lossWarnings } from './losses/warnings.ts';
