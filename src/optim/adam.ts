/**
 * Adam, AdamW and AMSGrad: momentum divided by a running root mean square, both corrected for their start at zero.
 *
 *     adam:     g_t = gradScale * gradient + weightDecay * p      (L2 penalty, coupled)
 *     adamw:    g_t = gradScale * gradient;  p <- p * (1 - lr * weightDecay)      (decoupled, before the step)
 *     m <- m + (1 - beta1) * (g_t - m)
 *     v <- beta2 * v + (1 - beta2) * g_t^2
 *     amsgrad:  u <- max(u, v), which then stands for v below       (maxOfCorrected: u <- max(u, v / (1 - beta2^t)), which
 *               stands for v / (1 - beta2^t))
 *     p <- p - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t) + epsRoot) + eps)
 *     epsHat:   ... / (sqrt(v / (1 - beta2^t)) + eps / sqrt(1 - beta2^t)), that is eps added to sqrt(v) before the correction
 *
 * Papers: Kingma & Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, 2014; Loshchilov & Hutter, "Decoupled
 * Weight Decay Regularization", arXiv:1711.05101, 2017; AMSGrad: Reddi, Kale & Kumar, "On the Convergence of Adam and
 * Beyond", ICLR 2018.
 *
 * Defaults: lr 0.001, betas [0.9, 0.999], eps 1e-8, epsRoot 0, weightDecay 0 (adam) or 0.01 (adamw): PyTorch's. Keras: epsilon
 * 1e-7, added to sqrt(v) before the correction ("epsilon hat" of the paper), decay decoupled in Adam too, AdamW weight_decay
 * 0.004; optax: adamw weight_decay 1e-4, eps_root as here. AMSGrad's maximum is that of the uncorrected v, as in the paper, PyTorch
 * and Keras; optax takes that of the corrected v (`maxOfCorrected`).
 *
 * Traps: `weightDecay` means different things in the two: in adam it is divided by sqrt(v) like any gradient, so it hardly
 * decays weights with large gradients. PyTorch multiplies the decay by lr (as here); the AdamW paper does not. Adam
 * moves every element by about lr in the first updates however small its gradient: use a warm-up for large lr. The scale of
 * the loss cancels, so a clipped and an unclipped gradient give nearly the same step if all steps are clipped alike. The
 * sparse form ("lazy Adam") lets the moments of rows without gradient stand still instead of decaying.
 */
import { z } from 'zod';
import { pow } from '../kernels/math.ts';
import { BASE_SCALARS, baseScalars, betas, type DecayOptions, decay, eps, notNegative } from './common.ts';
import type { OptimizerDef, OptimizerDescription, StepInfo, View } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';

export interface AdamOptions extends CommonOptions, DecayOptions {
  /** Default 0.001. */
  readonly lr?: LearningRate;
  /** Decay of the mean and of the mean square of the gradient, each in [0, 1). Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root, > 0. Default 1e-8. */
  readonly eps?: number;
  /** Added under the root to the corrected v, >= 0 (optax's eps_root). Default 0. */
  readonly epsRoot?: number;
  /** eps is added before the bias correction ("epsilon hat"; Keras). Default false. */
  readonly epsHat?: boolean;
  /** Divide by 1 - beta^t. Default true. */
  readonly biasCorrection?: boolean;
  /** Divide by the largest root mean square so far. Default false. */
  readonly amsgrad?: boolean;
  /** With amsgrad: the largest is that of the corrected mean squares (optax), which the first updates dominate. Default false. */
  readonly maxOfCorrected?: boolean;
}

const optionsWith = (weightDecay: number, decoupled: boolean) =>
  z.strictObject({
    betas: betas(0.9, 0.999),
    eps: eps(1e-8),
    epsRoot: notNegative.default(0),
    epsHat: z.boolean().default(false),
    biasCorrection: z.boolean().default(true),
    amsgrad: z.boolean().default(false),
    maxOfCorrected: z.boolean().default(false),
    ...decay(weightDecay, decoupled),
  });
type Resolved = z.output<ReturnType<typeof optionsWith>>;

function scalars({ step, lr, gradScale, options }: StepInfo<Resolved>, out: Float64Array): void {
  baseScalars(out, gradScale, lr, options);
  const beta1 = options.betas[0];
  const beta2 = options.betas[1];
  const bias1 = options.biasCorrection ? 1 - pow(beta1, step) : 1;
  const bias2 = options.biasCorrection ? 1 - pow(beta2, step) : 1;
  out[4] = beta1;
  out[5] = beta2;
  out[6] = options.epsHat ? options.eps / Math.sqrt(bias2) : options.eps;
  const corrected = options.amsgrad && options.maxOfCorrected;
  out[7] = corrected ? options.epsRoot : options.epsRoot * bias2;
  out[8] = lr / bias1;
  out[9] = corrected ? 1 : 1 / Math.sqrt(bias2);
  out[10] = corrected ? 1 / bias2 : 1;
}

function update({ param, grad, slots: { m, v, largest } }: View, s: Float64Array): void {
  const gradScale = s[0];
  const l2 = s[2];
  const keep = s[3];
  const beta1 = s[4];
  const beta2 = s[5];
  const eps = s[6];
  const epsRoot = s[7];
  const stepSize = s[8];
  const invSqrtBias2 = s[9];
  const maxScale = s[10];
  for (let i = 0; i < param.length; i++) {
    const p = param[i];
    const g = gradScale * grad[i] + l2 * p;
    const mean = m[i] + (1 - beta1) * (g - m[i]);
    let square = beta2 * v[i] + (1 - beta2) * g * g;
    m[i] = mean;
    v[i] = square;
    if (largest !== undefined) {
      square = Math.max(largest[i], maxScale * square);
      largest[i] = square;
    }
    param[i] = p * keep - (stepSize * mean) / (Math.sqrt(square + epsRoot) * invSqrtBias2 + eps);
  }
}

const rule = {
  defaultLr: 0.001,
  unit: 'element',
  slots: ({ amsgrad }) => ({ m: {}, v: {}, ...(amsgrad && { largest: {} }) }),
  scalarNames: [...BASE_SCALARS, 'beta1', 'beta2', 'eps', 'epsRoot', 'stepSize', 'invSqrtBias2', 'maxScale'],
  scalars,
  update,
  kernel({ amsgrad, weightDecay, decoupled, epsRoot }) {
    if (amsgrad) return 'amsgrad';
    return epsRoot === 0 && (decoupled || weightDecay === 0) ? 'adamw' : 'adam';
  },
  sparseUpdate({ param, slots: { m, v }, width, ids, grad }, s) {
    for (let row = 0; row < ids.length; row++) {
      for (let j = 0; j < width; j++) {
        const at = ids[row] * width + j;
        const g = s[0] * grad[row * width + j];
        m[at] += (1 - s[4]) * (g - m[at]);
        v[at] = s[5] * v[at] + (1 - s[5]) * g * g;
        param[at] -= (s[8] * m[at]) / (Math.sqrt(v[at] + s[7]) * s[9] + s[6]);
      }
    }
  },
  sparseKernel: ({ amsgrad, weightDecay }) => (!amsgrad && weightDecay === 0 ? 'adamRows' : undefined),
} satisfies Partial<OptimizerDef<Resolved>>;

export const ADAM: OptimizerDef<Resolved> = {
  ...rule,
  kind: 'adam',
  options: optionsWith(0, false),
  compat: { pytorch: {}, keras: { eps: 1e-7, epsHat: true, decoupled: true }, optax: { maxOfCorrected: true } },
  about: {
    rule: 'm, v <- running means of g, g^2; p <- p - lr m^ / (sqrt(v^) + eps)',
    when: 'the default for most networks: little tuning, fast at the beginning',
    limits:
      '8 bytes a parameter of state; may generalise worse than tuned momentum; L2 decay hardly acts on it (use adamw)',
    paper: 'Kingma & Ba, arXiv:1412.6980; amsgrad: Reddi et al., ICLR 2018',
  },
};

export const ADAMW: OptimizerDef<Resolved> = {
  ...rule,
  kind: 'adamw',
  options: optionsWith(0.01, true),
  compat: {
    pytorch: {},
    keras: { eps: 1e-7, epsHat: true, weightDecay: 0.004 },
    optax: { weightDecay: 1e-4, maxOfCorrected: true },
  },
  about: {
    rule: "p <- p (1 - lr weightDecay), then Adam's step",
    when: 'transformers, and wherever Adam wants regularisation',
    limits: 'the decay is multiplied by lr: it changes with the schedule; exclude biases and norms with noDecay',
    paper: 'Loshchilov & Hutter, arXiv:1711.05101',
  },
};

/** Adam; its weight decay is an L2 penalty. As `torch.optim.Adam`. */
export const adam = (options: AdamOptions = {}): OptimizerDescription => describe(ADAM, options);
/** Adam with decoupled weight decay, as `torch.optim.AdamW`. */
export const adamw = (options: AdamOptions = {}): OptimizerDescription => describe(ADAMW, options);
