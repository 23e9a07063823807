/**
 * Muon: the momentum of a hidden weight matrix made nearly orthogonal; AdamW for all other parameters.
 *
 *     matrices:  b <- momentum * b + g_t;   u = g_t + momentum * b            (nesterov false: u = b)
 *                X = u / |u|;  `steps` times:  A = X X^T,  X <- a X + (b A + c A^2) X,   (a, b, c) = (3.4445, -4.775, 2.0315)
 *                p <- p (1 - lr weightDecay) - lr * sqrt(max(1, outputs / inputs)) * X
 *     others:    AdamW with lr * adamLrScale, adamBetas, adamEps, weightDecay
 *
 * Paper: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024 (kellerjordan.github.io/posts/muon).
 *
 * Which matrices: parameters [inputs, outputs] of two dimensions, but for the last of them (the output layer) and what `exclude`
 * names; embeddings should be excluded. A model without such a matrix is refused. The author's code computes in bfloat16, here
 * it is f32; the singular values come out between about 0.7 and 1.2 all the same, because the polynomial is tuned for speed.
 *
 * Defaults: lr 0.02, momentum 0.95, nesterov true, steps 5, weightDecay 0, adamLrScale 0.015 (3e-4 at lr 0.02), adamBetas [0.9,
 * 0.95], adamEps 1e-10: the author's.
 *
 * PyTorch >= 2.9 has it for matrices alone (lr 0.001, weight_decay 0.1: `compat: 'pytorch'`), optax.contrib with Adam for the rest; both
 * with an `adjust_lr` that also knows 0.2 sqrt(max(inputs, outputs)); here it is `scale: 'rms'`, which makes an AdamW learning rate fit.
 *
 * Traps: its cost is five times three matrix products; whole matrices belong to one worker. The size of the gradient does not
 * matter at all to a matrix, so clipping hardly does.
 */
import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import type { TensorEntry } from '../graph/program.ts';
import { pow } from '../kernels/math.ts';
import { betas, eps, notNegative, positive, unitInterval } from './common.ts';
import type { FloatArray, OptimizerDef, OptimizerDescription, SlotSpec, View } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';
import { nameMatches } from './names.ts';

export interface MuonOptions extends CommonOptions {
  /** Of the matrices. Default 0.02. */
  readonly lr?: LearningRate;
  /** In [0, 1). Default 0.95. */
  readonly momentum?: number;
  /** Default true. */
  readonly nesterov?: boolean;
  /** Newton-Schulz iterations, >= 1. Default 5. */
  readonly steps?: number;
  /** Decoupled, >= 0. Default 0. */
  readonly weightDecay?: number;
  /** 'shape': sqrt(max(1, outputs / inputs)). 'rms': 0.2 sqrt(max(inputs, outputs)). Default 'shape'. */
  readonly scale?: 'shape' | 'rms';
  /** Matrices (by name, as in groups) that AdamW is to train, beside the last one. */
  readonly exclude?: readonly string[];
  /** Learning rate of AdamW / lr, > 0. Default 0.015. */
  readonly adamLrScale?: number;
  /** Each in [0, 1). Default [0.9, 0.95]. */
  readonly adamBetas?: readonly [number, number];
  /** > 0. Default 1e-10. */
  readonly adamEps?: number;
}

const options = z.strictObject({
  momentum: unitInterval.default(0.95),
  nesterov: z.boolean().default(true),
  steps: z.int().min(1).default(5),
  weightDecay: notNegative.default(0),
  scale: z.enum(['shape', 'rms']).default('shape'),
  exclude: z.array(z.string().min(1)).default([]),
  adamLrScale: positive.default(0.015),
  adamBetas: betas(0.9, 0.95),
  adamEps: eps(1e-10),
});
interface Resolved extends z.output<typeof options> {
  /** Names of the matrices; `bind` finds them. */
  matrices?: readonly string[];
}

export const MUON: OptimizerDef<Resolved> = {
  kind: 'muon',
  options,
  defaultLr: 0.02,
  unit: 'tensor',
  bind(options, tensors) {
    const matrices = tensors.filter(({ shape }) => shape.length === 2).map(({ name }) => name);
    const hidden = matrices
      .slice(0, -1)
      .filter((name) => !options.exclude.some((pattern) => nameMatches(pattern, name)));
    if (hidden.length > 0) return { ...options, matrices: hidden };
    throw new LockstepError('E_OPTION', {
      where: 'optimizer muon',
      expected: 'a hidden weight of two dimensions (the last matrix is the output layer)',
      got: matrices.length === 0 ? 'a model without matrices' : `only ${matrices.join(', ')}`,
      fix: 'use adamw, or a model with a hidden layer',
    });
  },
  slots: (options, tensor): Record<string, SlotSpec> =>
    isMatrix(options, tensor) ? { momentum: {} } : { m: {}, v: {} },
  scratch(tensor, options) {
    const side = Math.min(...tensor.shape);
    return isMatrix(options, tensor) ? 2 * tensor.size + 2 * side * side : 0;
  },
  /** Floating-point operations, roughly; an update by elements takes the time of about twenty. */
  cost(tensor, options) {
    const side = Math.min(...tensor.shape);
    return (
      tensor.size * 20 +
      (isMatrix(options, tensor) ? (options.steps * (4 * side * tensor.size + 2 * side ** 3)) / 10 : 0)
    );
  },
  scalarNames: ['gradScale', 'lr', 'adamStep', 'adamLr', 'invSqrtBias2'],
  scalars({ step, lr, gradScale, options: { adamLrScale, adamBetas } }, out) {
    out[0] = gradScale;
    out[1] = lr;
    out[2] = (lr * adamLrScale) / (1 - pow(adamBetas[0], step));
    out[3] = lr * adamLrScale;
    out[4] = 1 / Math.sqrt(1 - pow(adamBetas[1], step));
  },
  update(view, s, options) {
    if (isMatrix(options, view.tensor)) updateMatrix(view, s, options);
    else updateByAdam(view, s, options);
  },
  compat: { pytorch: { lr: 0.001, weightDecay: 0.1 } },
  about: {
    rule: 'matrices: p <- p - lr orthogonalised momentum (five Newton-Schulz steps); others: AdamW',
    when: 'hidden layers of transformers and deep networks: fewer steps than AdamW',
    limits: 'needs hidden matrices; a matrix is updated by one worker; exclude embeddings by name',
    paper: 'Jordan et al., Muon, 2024',
  },
};

const isMatrix = ({ matrices = [] }: Resolved, { name }: TensorEntry): boolean => matrices.includes(name);

function updateByAdam({ param, grad, slots: { m, v } }: View, s: Float64Array, options: Resolved): void {
  const { adamBetas, adamEps, weightDecay } = options;
  const keep = 1 - s[3] * weightDecay;
  for (let i = 0; i < param.length; i++) {
    const g = s[0] * grad[i];
    m[i] += (1 - adamBetas[0]) * (g - m[i]);
    v[i] = adamBetas[1] * v[i] + (1 - adamBetas[1]) * g * g;
    param[i] = keep * param[i] - (s[2] * m[i]) / (Math.sqrt(v[i]) * s[4] + adamEps);
  }
}

function updateMatrix(view: View, s: Float64Array, options: Resolved): void {
  const { param, grad, slots, tensor, scratch = new Float32Array(0) } = view;
  const { momentum, nesterov, steps, weightDecay, scale } = options;
  const buffer = slots.momentum;
  const x = scratch.subarray(0, param.length);
  let squares = 0;
  for (let i = 0; i < param.length; i++) {
    const g = s[0] * grad[i];
    const b = momentum * buffer[i] + g;
    buffer[i] = b;
    const u = nesterov ? g + momentum * b : b;
    x[i] = u;
    squares += u * u;
  }
  const norm = Math.sqrt(squares) + 1e-7;
  for (let i = 0; i < x.length; i++) x[i] /= norm;
  const [inputs, outputs] = tensor.shape;
  const direction = orthogonalise(view, scratch, inputs, outputs, steps);
  const factor =
    scale === 'shape' ? Math.sqrt(Math.max(1, outputs / inputs)) : 0.2 * Math.sqrt(Math.max(inputs, outputs));
  const step = s[1] * factor;
  const keep = 1 - s[1] * weightDecay;
  for (let i = 0; i < param.length; i++) param[i] = keep * param[i] - step * direction[i];
}

const [A, B, C] = [3.4445, -4.775, 2.0315];

/** Newton-Schulz on X [rows, columns] at the beginning of `scratch`, with products on its shorter side. Gives where X then is. */
function orthogonalise({ gemm }: View, scratch: FloatArray, rows: number, columns: number, steps: number): FloatArray {
  const size = rows * columns;
  const side = Math.min(rows, columns);
  let x = scratch.subarray(0, size);
  let next = scratch.subarray(size, 2 * size);
  const gram = scratch.subarray(2 * size, 2 * size + side * side);
  const square = scratch.subarray(2 * size + side * side, 2 * size + 2 * side * side);
  const wide = rows <= columns;
  for (let step = 0; step < steps; step++) {
    if (wide) gemm(0, 1, side, side, columns, x, x, 0, gram);
    else gemm(1, 0, side, side, rows, x, x, 0, gram);
    gemm(0, 0, side, side, side, gram, gram, 0, square);
    for (let i = 0; i < gram.length; i++) square[i] = B * gram[i] + C * square[i];
    for (let i = 0; i < size; i++) next[i] = A * x[i];
    if (wide) gemm(0, 0, rows, columns, side, square, x, 1, next);
    else gemm(0, 0, rows, columns, side, x, square, 1, next);
    [x, next] = [next, x];
  }
  return x;
}

/** Orthogonalised momentum for hidden matrices, AdamW for the rest. */
export const muon = (options: MuonOptions = {}): OptimizerDescription => describe(MUON, options);
