import type { Differentiate } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { stopGradient } from './shape.ts';

/**
 * Gradients of a fused gradient: given `forward` as plain ops, the gradients with respect to `inputs` and `dy`, in that order, of
 * sum(up * d), where d is the gradient of sum(forward(inputs) * dy) with respect to input `wanted`. They are made of ops that
 * stop at the inputs, so this goes one order further and no more.
 */
export function gradientsOfGradient(
  differentiate: Differentiate,
  forward: (inputs: readonly Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  dy: Tensor,
  wanted: number,
  up: Tensor,
): (Tensor | undefined)[] {
  // Leaves of their own: one input may depend on another, and only the direct way counts here.
  const leaves = inputs.map(stopGradient);
  const upstream = stopGradient(dy);
  const first = differentiate(forward(leaves), upstream, leaves)[wanted];
  const sources = [...leaves, upstream];
  return first === undefined ? sources.map(() => undefined) : differentiate(first, up, sources);
}
