import type { Activation, UNARY_GRAD } from '../../kernels/table.ts';
import { ACTIVATION_CODES } from '../../kernels/table.ts';
import { createNode, numberAttr, optionError, requireF32, shapeError, showShape, stringAttr } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { add, mul, sub } from './binary.ts';
import { lessEqual } from './compare.ts';
import { sum } from './reduce.ts';
import { reshape } from './shape.ts';
import { addScalar, exp, scale, square } from './unary.ts';

type GradName = (typeof UNARY_GRAD)[number];
type Nonlinear = Exclude<Activation, 'linear'>;

/** What an activation's gradient kernel is called, reads, and how its own slope changes with what it reads (dy = 1). */
interface Rule {
  readonly grad: GradName;
  readonly saved: 'x' | 'y';
  /** d gradKernel(saved, 1) / d saved, for gradients of gradients; undefined = 0. */
  readonly curvature?: (saved: Tensor, alpha: number) => Tensor;
}

const sigmoidSlope = (x: Tensor): Tensor => {
  const s = sigmoid(x);
  return mul(s, sub(1, s));
};

const RULES: Readonly<Record<Nonlinear, Rule>> = {
  relu: { grad: 'reluGrad', saved: 'y' },
  leakyRelu: { grad: 'leakyReluGrad', saved: 'y' },
  elu: { grad: 'eluGrad', saved: 'y', curvature: (y) => lessEqual(y, 0) },
  tanh: { grad: 'tanhGrad', saved: 'y', curvature: (y) => scale(y, -2) },
  sigmoid: { grad: 'sigmoidGrad', saved: 'y', curvature: (y) => addScalar(scale(y, -2), 1) },
  gelu: {
    grad: 'geluGrad',
    saved: 'x',
    curvature: (x) => mul(scale(exp(scale(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI)), sub(2, square(x))),
  },
  geluTanh: { grad: 'geluTanhGrad', saved: 'x', curvature: geluTanhCurvature },
  silu: {
    grad: 'siluGrad',
    saved: 'x',
    curvature: (x) => mul(sigmoidSlope(x), addScalar(mul(x, sub(1, scale(sigmoid(x), 2))), 2)),
  },
  softplus: { grad: 'softplusGrad', saved: 'x', curvature: sigmoidSlope },
};

/** With u = c (x + a x^3), t = tanh u: y'' = (1 - t^2) (u' + x u'' / 2 - x t u'^2). */
function geluTanhCurvature(x: Tensor): Tensor {
  const [a, c] = [0.044715, Math.sqrt(2 / Math.PI)];
  const t = tanh(scale(add(x, scale(mul(x, square(x)), a)), c));
  const slope = scale(addScalar(scale(square(x), 3 * a), 1), c);
  const bracket = sub(add(slope, scale(square(x), 3 * a * c)), mul(mul(x, t), square(slope)));
  return mul(sub(1, square(t)), bracket);
}

function isNonlinear(name: string): name is Nonlinear {
  return name in RULES;
}

const NONLINEAR = Object.keys(RULES).filter(isNonlinear);

const gradOps = Object.fromEntries(
  NONLINEAR.map((name): [Nonlinear, OpDef] => {
    const { grad, curvature } = RULES[name];
    return [
      name,
      {
        name: grad,
        infer(inputs) {
          requireF32(grad, inputs);
          return { shape: inputs[0].shape, dtype: 'f32' };
        },
        gradient(node, up) {
          const [saved, dy] = node.inputs;
          const alpha = numberAttr(node.attrs, 'alpha');
          const toSaved = curvature && mul(mul(up, dy), curvature(saved, alpha));
          return [toSaved, activationGrad(name, saved, up, alpha)];
        },
        lower(node, l) {
          l.call(grad, l.out, l.input(0), l.input(1), sizeOf(node.shape), numberAttr(node.attrs, 'alpha'));
        },
        inPlace: [0, 1],
        rows: [0, 1],
      },
    ];
  }),
);

function activationGrad(name: Nonlinear, saved: Tensor, dy: Tensor, alpha: number): Tensor {
  return createNode(gradOps[name], [saved, dy], { alpha });
}

const activationOps = Object.fromEntries(
  NONLINEAR.map((name): [Nonlinear, OpDef] => [
    name,
    {
      name,
      infer(inputs) {
        requireF32(name, inputs);
        return { shape: inputs[0].shape, dtype: 'f32' };
      },
      gradient(node, up) {
        const saved = RULES[name].saved === 'y' ? node : node.inputs[0];
        return [activationGrad(name, saved, up, numberAttr(node.attrs, 'alpha'))];
      },
      lower: (node, l) => l.call(name, l.out, l.input(0), sizeOf(node.shape), numberAttr(node.attrs, 'alpha')),
      inPlace: [0],
      rows: [0],
    },
  ]),
);

/** activation(z + bias) in one pass; bias [columns] is optional. */
const biasActivationOp: OpDef = {
  name: 'biasActivation',
  infer(inputs) {
    requireF32('biasActivation', inputs);
    const [z, bias] = inputs;
    const columns = z.shape.at(-1);
    if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== columns)) {
      throw shapeError('bias', `[${columns}]`, showShape(bias.shape), 'give one bias for each output column');
    }
    return { shape: z.shape, dtype: 'f32' };
  },
  gradient(node, up) {
    const [z, bias] = node.inputs;
    const name = stringAttr(node.attrs, 'activation');
    const alpha = numberAttr(node.attrs, 'alpha');
    let dz = up;
    if (isNonlinear(name)) {
      const saved = RULES[name].saved === 'y' ? node : bias === undefined ? z : biasActivation(z, bias, 'linear', 0);
      dz = activationGrad(name, saved, up, alpha);
    }
    if (bias === undefined) return [dz];
    return [dz, sum(reshape(dz, [-1, bias.shape[0]]), { axis: 0 })];
  },
  lower(node, l) {
    const columns = node.shape.at(-1) ?? 1;
    const code = activationCode(stringAttr(node.attrs, 'activation'));
    const bias = node.inputs.length > 1 ? l.input(1) : 0;
    const rows = sizeOf(node.shape) / columns;
    l.call('biasActivation', l.out, l.input(0), bias, rows, columns, code, numberAttr(node.attrs, 'alpha'));
  },
  inPlace: [0],
  rows: [0],
};

export const ACTIVATION_OPS: readonly OpDef[] = [
  ...NONLINEAR.map((name) => activationOps[name]),
  ...NONLINEAR.map((name) => gradOps[name]),
  biasActivationOp,
];

function isActivation(name: string): name is Activation {
  return name in ACTIVATION_CODES;
}

function activationCode(name: string): number {
  if (isActivation(name)) return ACTIVATION_CODES[name];
  throw optionError('activation', Object.keys(ACTIVATION_CODES).join(', '), name, 'choose one of these');
}

/** The number that an activation takes: PyTorch's defaults. */
export function defaultAlpha(activation: Activation): number {
  return activation === 'leakyRelu' ? 0.01 : activation === 'elu' ? 1 : 0;
}

/** activation(z + bias), fused; z [..., columns], bias [columns] or undefined. */
export function biasActivation(z: Tensor, bias: Tensor | undefined, activation: Activation, alpha: number): Tensor {
  activationCode(activation);
  if (bias === undefined && activation === 'linear') return z;
  if (bias === undefined && isNonlinear(activation)) return activate(activation, z, alpha);
  return createNode(biasActivationOp, bias === undefined ? [z] : [z, bias], { activation, alpha });
}

function activate(name: Nonlinear, x: Tensor, alpha = 0): Tensor {
  if (!Number.isFinite(alpha) || alpha < 0) {
    // Gradients of leakyRelu and elu read the sign of x from y, which needs a slope of at least 0.
    throw optionError(name, 'a slope of at least 0', alpha, 'choose a slope of at least 0');
  }
  return createNode(activationOps[name], [x], { alpha });
}

/** Any activation by name, with PyTorch's default slope. */
export function activation(name: Activation, x: Tensor, alpha: number = defaultAlpha(name)): Tensor {
  return biasActivation(x, undefined, name, alpha);
}

export function tanh(x: Tensor): Tensor {
  return activate('tanh', x);
}
export function sigmoid(x: Tensor): Tensor {
  return activate('sigmoid', x);
}
/** max(x, 0); the gradient at 0 is 0. */
export function relu(x: Tensor): Tensor {
  return activate('relu', x);
}
/** x where positive, else slope * x (slope >= 0). */
export function leakyRelu(x: Tensor, slope: number = defaultAlpha('leakyRelu')): Tensor {
  return activate('leakyRelu', x, slope);
}
/** x where positive, else alpha * (exp(x) - 1) (alpha >= 0). */
export function elu(x: Tensor, alpha: number = defaultAlpha('elu')): Tensor {
  return activate('elu', x, alpha);
}
/** x * normal distribution function of x, exact (erf) or its tanh approximation (Hendrycks & Gimpel 2016). */
export function gelu(x: Tensor, options: { approximate?: 'none' | 'tanh' } = {}): Tensor {
  return activate(options.approximate === 'tanh' ? 'geluTanh' : 'gelu', x);
}
/** x * sigmoid(x), also called swish. */
export function silu(x: Tensor): Tensor {
  return activate('silu', x);
}
/** log(1 + exp(x)). */
export function softplus(x: Tensor): Tensor {
  return activate('softplus', x);
}
