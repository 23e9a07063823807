/** Options that many optimizers share, each with its limits once. */
import { z } from 'zod';

export const unitInterval = z.number().min(0).lt(1);
export const positive = z.number().gt(0);
export const notNegative = z.number().min(0);
export const betas = (beta1: number, beta2: number) => z.tuple([unitInterval, unitInterval]).default([beta1, beta2]);
export const eps = (value: number) => positive.default(value);

/** Weight decay, coupled (an L2 penalty: part of the gradient) or decoupled (the parameter loses lr * weightDecay of itself). */
export const decay = (weightDecay: number, decoupled: boolean) => ({
  weightDecay: notNegative.default(weightDecay),
  decoupled: z.boolean().default(decoupled),
});

export interface Decay {
  readonly weightDecay: number;
  readonly decoupled: boolean;
}

/** What users write; the same words in every optimizer. */
export interface DecayOptions {
  /** >= 0. */
  readonly weightDecay?: number;
  /** true: p <- p (1 - lr weightDecay), beside the step. false: weightDecay p is added to the gradient (L2 penalty). */
  readonly decoupled?: boolean;
}

/** Every list of scalars begins like this; kernels rely on it. */
export const BASE_SCALARS = ['gradScale', 'lr', 'l2', 'keep'] as const;

/** Writes the four of BASE_SCALARS. `g = gradScale * grad + l2 * p` and `keep * p` are the two ways of decay; one is neutral. */
export function baseScalars(out: Float64Array, gradScale: number, lr: number, options: Decay): void {
  out[0] = gradScale;
  out[1] = lr;
  out[2] = options.decoupled ? 0 : options.weightDecay;
  out[3] = options.decoupled ? 1 - lr * options.weightDecay : 1;
}
