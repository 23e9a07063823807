/**
 * Gradient clipping: after the all-reduce, before the optimizer, one decision a step.
 *
 *     norm   = |sum of gradients| / (sum of weights)                        (of the mean gradient)
 *     scale  = min(1, globalNorm / (norm + 1e-6))
 *     g      = scale / (sum of weights) * (sum of gradients)                the optimizer kernels multiply on the way
 *     g_i    = min(max(g_i, -value), value)                                 where `clip.value` is set
 *
 * Paper: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", arXiv:1211.5063, 2012. The
 * coefficient is that of `torch.nn.utils.clip_grad_norm_` (with its 1e-6); Keras' `global_clipnorm` has no 1e-6.
 *
 * Both kinds may be set: the norm comes first, then the values, so both limits hold for what the optimizer sees. Clipping by
 * value needs one more pass: the kernel `clampScaled(out, gradient, count, gradScale, value)` divides and clamps, and the
 * optimizer then runs with gradScale 1. Clipping by value changes the gradient's direction; prefer the norm.
 */
import { z } from 'zod';
import { parseOptions } from './options.ts';

export interface ClipOptions {
  /** Largest Euclidean norm of the mean gradient over all parameters, > 0. */
  readonly globalNorm?: number;
  /** Largest absolute value of an element of the mean gradient, > 0. */
  readonly value?: number;
}

const schema = z.strictObject({ globalNorm: z.number().gt(0).optional(), value: z.number().gt(0).optional() });

/** Validates the `clip` of a job (E_OPTION); absent: nothing is clipped. */
export function parseClip(clip: unknown, where = 'clip'): ClipOptions {
  return clip === undefined ? {} : parseOptions(schema, clip, where);
}

/** What is known when all gradients of a step are added; sums over the global batch, f64. */
export interface ClipInput {
  /** Squared Euclidean norm of the summed (not mean) gradient; not finite if any element is not. */
  squaredNorm: number;
  /** Sum of the loss's weights; the number of samples when there are none. */
  weight: number;
  /** Weighted sum of the loss. */
  loss: number;
}

export interface ClipDecision {
  /** 'skip': the batch has no weight, nothing is to be learned from it. 'stop': the numbers are broken. */
  action: 'update' | 'skip' | 'stop';
  /** What is broken when the action is 'stop'. */
  broken: 'nothing' | 'loss' | 'gradient' | 'weight';
  /** Norm of the mean gradient before clipping; 0 when skipped. */
  gradNorm: number;
  /** 1 where nothing was clipped; 0 unless the action is 'update'. */
  clipScale: number;
  /** What the optimizer multiplies the summed gradient by: clipScale / weight; 0 unless the action is 'update'. */
  gradScale: number;
}

export function newClipDecision(): ClipDecision {
  return { action: 'skip', broken: 'nothing', gradNorm: 0, clipScale: 0, gradScale: 0 };
}

/** Decides into `out` (the caller's own: nothing is allocated) and gives it back. Pure in `input` and `globalNorm`. */
export function clipDecision(
  input: Readonly<ClipInput>,
  globalNorm: number | undefined,
  out: ClipDecision,
): ClipDecision {
  const { squaredNorm, weight, loss } = input;
  out.broken = brokenPart(squaredNorm, weight, loss);
  out.clipScale = 0;
  out.gradScale = 0;
  if (out.broken !== 'nothing' || weight === 0) {
    out.action = out.broken === 'nothing' ? 'skip' : 'stop';
    out.gradNorm = weight === 0 ? 0 : Math.sqrt(squaredNorm) / weight;
    return out;
  }
  out.action = 'update';
  out.gradNorm = Math.sqrt(squaredNorm) / weight;
  out.clipScale = globalNorm === undefined ? 1 : Math.min(1, globalNorm / (out.gradNorm + 1e-6));
  out.gradScale = out.clipScale / weight;
  return out;
}

function brokenPart(squaredNorm: number, weight: number, loss: number): ClipDecision['broken'] {
  if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) return 'weight';
  if (!Number.isFinite(loss)) return 'loss';
  return Number.isFinite(squaredNorm) ? 'nothing' : 'gradient';
}
