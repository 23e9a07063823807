/**
 * Adam and AdamW: momentum divided by a running root mean square, both corrected for their start at zero.
 *
 *     adam:   g_t = gradScale * gradient + weightDecay * p      (L2 penalty, coupled)
 *     adamw:  g_t = gradScale * gradient;  p <- p * (1 - lr * weightDecay)      (decoupled, before the step)
 *     m <- m + (1 - beta1) * (g_t - m)
 *     v <- beta2 * v + (1 - beta2) * g_t^2
 *     p <- p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 *
 * Papers: Kingma & Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, 2014; Loshchilov & Hutter, "Decoupled
 * Weight Decay Regularization", arXiv:1711.05101, 2017.
 *
 * Defaults: lr 0.001, betas [0.9, 0.999], eps 1e-8, weightDecay 0 (adam) or 0.01 (adamw): PyTorch's. Keras: epsilon 1e-7,
 * added to sqrt(v) before the correction ("epsilon hat" of the paper), AdamW weight_decay 0.004.
 *
 * Traps: `weightDecay` means different things in the two: in adam it is divided by sqrt(v) like any gradient, so it hardly
 * decays weights with large gradients. PyTorch multiplies the decay by lr (as here); the AdamW paper does not. Adam
 * moves every element by about lr in the first updates however small its gradient: use a warm-up for large lr. The scale of
 * the loss cancels, so a clipped and an unclipped gradient give nearly the same step if all steps are clipped alike.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import type { FloatArray, OptimizerDef, OptimizerDescription, StepInfo, View } from './contract.ts';
import { describe, type LearningRate } from './description.ts';

export interface AdamOptions {
  /** Default 0.001. */
  readonly lr?: LearningRate;
  /** Decay of the mean and of the mean square of the gradient, each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root, > 0. Default 1e-8. */
  readonly eps?: number;
  /** >= 0. adam: L2 penalty, default 0. adamw: decoupled decay, default 0.01. */
  readonly weightDecay?: number;
}

const beta = z.number().min(0).lt(1);
const optionsWith = (weightDecay: number) =>
  z.strictObject({
    betas: z.tuple([beta, beta]).default([0.9, 0.999]),
    eps: z.number().gt(0).default(1e-8),
    weightDecay: z.number().min(0).default(weightDecay),
  });
type Resolved = z.output<ReturnType<typeof optionsWith>>;

const scalarNames = ['gradScale', 'lr', 'weightDecay', 'beta1', 'beta2', 'eps', 'stepSize', 'invSqrtBias2'];

function scalars({ step, lr, gradScale, options }: StepInfo<Resolved>, out: Float64Array): void {
  const beta1 = options.betas[0];
  const beta2 = options.betas[1];
  out[0] = gradScale;
  out[1] = lr;
  out[2] = options.weightDecay;
  out[3] = beta1;
  out[4] = beta2;
  out[5] = options.eps;
  out[6] = lr / (1 - pow(beta1, step));
  out[7] = 1 / Math.sqrt(1 - pow(beta2, step));
}

/** `l2` enters the gradient, `keep` multiplies the parameter: one of the two is neutral. */
function update(view: View, s: Float64Array, l2: number, keep: number): void {
  const { param, grad } = view;
  const m: FloatArray = view.slots.m;
  const v: FloatArray = view.slots.v;
  const gradScale = s[0];
  const beta1 = s[3];
  const beta2 = s[4];
  const eps = s[5];
  const stepSize = s[6];
  const invSqrtBias2 = s[7];
  for (let i = 0; i < param.length; i++) {
    const p = param[i];
    const g = gradScale * grad[i] + l2 * p;
    const mean = m[i] + (1 - beta1) * (g - m[i]);
    const square = beta2 * v[i] + (1 - beta2) * g * g;
    m[i] = mean;
    v[i] = square;
    param[i] = p * keep - (stepSize * mean) / (Math.sqrt(square) * invSqrtBias2 + eps);
  }
}

const rule = {
  defaultLr: 0.001,
  unit: 'element',
  slots: () => ({ m: {}, v: {} }),
  scalarNames,
  scalars,
} satisfies Partial<OptimizerDef<Resolved>>;

export const ADAM: OptimizerDef<Resolved> = {
  ...rule,
  kind: 'adam',
  options: optionsWith(0),
  update: (view, s) => update(view, s, s[2], 1),
  kernel: () => 'adam',
};

export const ADAMW: OptimizerDef<Resolved> = {
  ...rule,
  kind: 'adamw',
  options: optionsWith(0.01),
  update: (view, s) => update(view, s, 0, 1 - s[1] * s[2]),
  kernel: () => 'adamw',
};

/** Adam; its weight decay is an L2 penalty. As `torch.optim.Adam`. */
export const adam = (options: AdamOptions = {}): OptimizerDescription => describe(ADAM, options);
/** Adam with decoupled weight decay, as `torch.optim.AdamW`. */
export const adamw = (options: AdamOptions = {}): OptimizerDescription => describe(ADAMW, options);
