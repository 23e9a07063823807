/**
 * Gradient clipping: after the all-reduce, before the optimizer, one decision a step.
 *
 *     norm   = |sum of gradients| / (sum of weights)                        (of the mean gradient)
 *     scale  = min(1, globalNorm / (norm + 1e-6))
 *     g      = scale / (sum of weights) * (sum of gradients)                the optimizer kernels multiply on the way
 *     then, where they are set, in this order, each on what the one before has left:
 *     tensorNorm   each tensor times min(1, tensorNorm / (its norm + 1e-6))
 *     blockRms     each tensor divided by max(1, its root mean square / blockRms)
 *     adaptive     each unit times min(1, adaptive * max(|w|, 1e-3) / |g|); a unit is what leads to one output: a column of a
 *                  matrix [inputs, outputs], all but the last axis of larger tensors, a whole vector
 *     value        g_i = min(max(g_i, -value), value)
 *
 * Papers: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", arXiv:1211.5063, 2012; adaptive:
 * Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization", arXiv:2102.06171, 2021; 'auto':
 * Seetharaman et al., "AutoClip", 2020. The coefficient is that of `torch.nn.utils.clip_grad_norm_` (with its 1e-6); Keras'
 * `global_clipnorm` has no 1e-6. blockRms is optax's clip_by_block_rms, adaptive its adaptive_grad_clip.
 *
 * `globalNorm: 'auto'` clips at the 90th percentile of the norms of the last 256 updates, as they were before clipping; it begins
 * after ten. It is a function of the committed history, so it is the same on any number of workers, after a recovery and after
 * a resumption.
 *
 * All but the global norm need one more pass over the gradient, and 'adaptive' one more barrier. Clipping by value and by
 * tensor changes the gradient's direction; prefer the norm. The recorded norm is that before any clipping, the recorded
 * coefficient the smallest of all tensors (units, with 'adaptive'; clipping by value does not count).
 */
import { z } from 'zod';
import type { FloatArray } from './contract.ts';
import { parseOptions } from './options.ts';

export interface ClipOptions {
  /** Largest Euclidean norm of the mean gradient over all parameters, > 0; 'auto': by the norms of the run so far. */
  readonly globalNorm?: number | 'auto';
  /** Largest norm of each tensor's gradient, > 0. */
  readonly tensorNorm?: number;
  /** Largest root mean square of each tensor's gradient, > 0. */
  readonly blockRms?: number;
  /** Largest ratio of the norms of gradient and weights of each unit, > 0; 0.01 is common. */
  readonly adaptive?: number;
  /** Largest absolute value of an element of the mean gradient, > 0. */
  readonly value?: number;
}

const limit = z.number().gt(0).optional();
/** What a job may have as `clip`. */
export const clipSchema = z.strictObject({
  globalNorm: z.union([z.number().gt(0), z.literal('auto')], { error: "a number > 0, or 'auto'" }).optional(),
  tensorNorm: limit,
  blockRms: limit,
  adaptive: limit,
  value: limit,
});

/** Validates the `clip` of a job (E_OPTION); absent: nothing is clipped. */
export function parseClip(clip: unknown, where = 'clip'): ClipOptions {
  return clip === undefined ? {} : parseOptions(clipSchema, clip, where);
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
  out.clipScale = globalNorm === undefined ? 1 : normCoefficient(out.gradNorm, globalNorm);
  out.gradScale = out.clipScale / weight;
  return out;
}

const normCoefficient = (norm: number, limit: number): number => Math.min(1, limit / (norm + 1e-6));

function brokenPart(squaredNorm: number, weight: number, loss: number): ClipDecision['broken'] {
  if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) return 'weight';
  if (!Number.isFinite(loss)) return 'loss';
  return Number.isFinite(squaredNorm) ? 'nothing' : 'gradient';
}

/** Coefficient of one tensor by tensorNorm and blockRms; `norm` is that of its mean gradient after the global norm. */
export function tensorCoefficient({ tensorNorm, blockRms }: ClipOptions, norm: number, size: number): number {
  const byNorm = tensorNorm === undefined ? 1 : normCoefficient(norm, tensorNorm);
  const rms = (norm * byNorm) / Math.sqrt(size);
  return blockRms === undefined ? byNorm : byNorm / Math.max(1, rms / blockRms);
}

const SMALLEST_WEIGHTS = 1e-3;

/**
 * Adaptive clipping of a whole tensor: out = scale * grad, each unit shortened where it must be. Gives the smallest coefficient.
 *
 * @param columns length of the last axis, 1 for vectors.
 * @param work at least 2 * columns doubles.
 */
export function clipAdaptively(
  out: FloatArray,
  grad: FloatArray,
  param: FloatArray,
  columns: number,
  scale: number,
  ratio: number,
  work: Float64Array,
): number {
  const gradSquares = work.subarray(0, columns);
  const coefficients = work.subarray(columns, 2 * columns);
  gradSquares.fill(0);
  coefficients.fill(0); // squares of the weights, for now
  for (let i = 0, column = 0; i < grad.length; i++, column++) {
    if (column === columns) column = 0;
    const g = scale * grad[i];
    gradSquares[column] += g * g;
    coefficients[column] += param[i] * param[i];
  }
  let smallest = 1;
  for (let j = 0; j < columns; j++) {
    const longest = ratio * Math.max(Math.sqrt(coefficients[j]), SMALLEST_WEIGHTS);
    const norm = Math.sqrt(gradSquares[j]);
    coefficients[j] = norm > longest ? longest / norm : 1;
    if (coefficients[j] < smallest) smallest = coefficients[j];
  }
  for (let i = 0, column = 0; i < grad.length; i++, column++) {
    if (column === columns) column = 0;
    out[i] = scale * grad[i] * coefficients[column];
  }
  return smallest;
}

/** Updates that 'auto' looks back on, and before which it does not clip. */
export const NORM_WINDOW = 256;
const FIRST_LIMIT = 10;
const PERCENTILE = 0.9;

/** The norms of the last updates, before clipping; what `globalNorm: 'auto'` is decided from. */
export class NormHistory {
  readonly #norms = new Float64Array(NORM_WINDOW);
  readonly #sorted = new Float64Array(NORM_WINDOW);
  #count = 0;

  /** The 90th percentile (nearest rank); undefined before there are ten norms. */
  limit(): number | undefined {
    if (this.#count < FIRST_LIMIT) return undefined;
    const length = Math.min(this.#count, NORM_WINDOW);
    const sorted = this.#sorted.subarray(0, length);
    sorted.set(this.#norms.subarray(0, length));
    sorted.sort();
    return sorted[Math.ceil(PERCENTILE * length) - 1];
  }

  push(norm: number): void {
    this.#norms[this.#count % NORM_WINDOW] = norm;
    this.#count += 1;
  }

  /** Writes everything into `out` from `at` on: as many numbers as NORM_STATE has names. */
  save(out: Float64Array, at: number): void {
    out[at] = this.#count;
    out.set(this.#norms, at + 1);
  }

  /** As at the beginning. */
  clear(): void {
    this.#count = 0;
  }

  load(values: ArrayLike<number>): void {
    this.#count = values[0];
    for (let i = 0; i < NORM_WINDOW; i++) this.#norms[i] = values[i + 1];
  }
}

/** Names of the numbers that a NormHistory consists of, beside the optimizer's own. */
export const NORM_STATE: readonly string[] = [
  'clipCount',
  ...Array.from({ length: NORM_WINDOW }, (_, i) => `clipNorm${i}`),
];
