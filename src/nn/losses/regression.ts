import { mul, sub } from '../../graph/ops/binary.ts';
import { abs, clamp, scale, square } from '../../graph/ops/unary.ts';
import type { LossDef } from '../contract.ts';
import { optionError, show } from '../options.ts';
import type { Selection } from '../select.ts';
import { checkLossOptions, regressionLoss } from './loss.ts';

/** (prediction - target)^2 for each element. Output [n, 1] with target [n], or equal shapes; i32 targets are converted. */
export function meanSquaredError(options: Selection = {}): LossDef {
  checkLossOptions('meanSquaredError', options);
  return regressionLoss('meanSquaredError', options, ['mae', 'r2'], (prediction, target) =>
    square(sub(prediction, target)),
  );
}

/** |prediction - target| for each element. Shapes as in meanSquaredError. */
export function meanAbsoluteError(options: Selection = {}): LossDef {
  checkLossOptions('meanAbsoluteError', options);
  return regressionLoss('meanAbsoluteError', options, ['r2'], (prediction, target) => abs(sub(prediction, target)));
}

export interface HuberOptions extends Selection {
  /** Where the square turns into a line. Default 1. */
  readonly delta?: number;
}

/**
 * Huber's loss (Huber 1964, as in PyTorch) of d = prediction - target, for each element: d^2 / 2 where |d| <= delta, else
 * delta (|d| - delta / 2). Shapes as in meanSquaredError. Throws E_OPTION unless delta > 0.
 */
export function huber(options: HuberOptions = {}): LossDef {
  checkLossOptions('huber', options, ['delta']);
  const { delta = 1 } = options;
  if (typeof delta !== 'number' || !(delta > 0 && Number.isFinite(delta))) {
    throw optionError('huber: delta', 'a number above 0', show(delta));
  }
  return regressionLoss('huber', options, ['mae', 'r2'], (prediction, target) => {
    // q (|d| - q / 2) with q = min(|d|, delta) is both branches at once, with the right slope at the seam.
    const distance = abs(sub(prediction, target));
    const q = clamp(distance, 0, delta);
    return mul(q, sub(distance, scale(q, 0.5)));
  });
}
